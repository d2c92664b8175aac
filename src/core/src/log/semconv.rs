//! Attribute names of OpenTelemetry's conventions for generative AI. Only this file contains them.
//!
//! The version is 1.41.1 of the semantic conventions, the last one that defines these names itself. They have moved to
//! their own repository (`open-telemetry/semantic-conventions-genai`), which has no release yet and keeps all names below.
//! Sources: `docs/gen-ai/gen-ai-spans.md`, `docs/gen-ai/gen-ai-agent-spans.md`.

/// Version of the conventions.
pub const VERSION: &str = "1.41.1";

/// URL of this version, to which spans refer.
pub const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.41.1";

/// The operation: one of [`operation`].
pub const OPERATION_NAME: &str = "gen_ai.operation.name";
/// The provider of the model: `openai`, `anthropic`, …, or the name of a server.
pub const PROVIDER_NAME: &str = "gen_ai.provider.name";
/// The requested model.
pub const REQUEST_MODEL: &str = "gen_ai.request.model";
/// The requested temperature.
pub const REQUEST_TEMPERATURE: &str = "gen_ai.request.temperature";
/// Maximum number of tokens of the answer.
pub const REQUEST_MAX_TOKENS: &str = "gen_ai.request.max_tokens";
/// The model that answered.
pub const RESPONSE_MODEL: &str = "gen_ai.response.model";
/// The provider's id of the answer.
pub const RESPONSE_ID: &str = "gen_ai.response.id";
/// Why the model stopped, an array of strings.
pub const RESPONSE_FINISH_REASONS: &str = "gen_ai.response.finish_reasons";
/// Tokens of the prompt.
pub const USAGE_INPUT_TOKENS: &str = "gen_ai.usage.input_tokens";
/// Tokens of the answer.
pub const USAGE_OUTPUT_TOKENS: &str = "gen_ai.usage.output_tokens";
/// The messages that were sent.
pub const INPUT_MESSAGES: &str = "gen_ai.input.messages";
/// The messages of the answer.
pub const OUTPUT_MESSAGES: &str = "gen_ai.output.messages";
/// Instructions that are sent beside the messages.
pub const SYSTEM_INSTRUCTIONS: &str = "gen_ai.system_instructions";
/// The tool's name.
pub const TOOL_NAME: &str = "gen_ai.tool.name";
/// `function`, `extension` or `datastore`.
pub const TOOL_TYPE: &str = "gen_ai.tool.type";
/// The model's id of the tool call.
pub const TOOL_CALL_ID: &str = "gen_ai.tool.call.id";
/// The arguments of the tool call.
pub const TOOL_CALL_ARGUMENTS: &str = "gen_ai.tool.call.arguments";
/// The result of the tool call.
pub const TOOL_CALL_RESULT: &str = "gen_ai.tool.call.result";
/// The agent's name.
pub const AGENT_NAME: &str = "gen_ai.agent.name";
/// The agent's number.
pub const AGENT_ID: &str = "gen_ai.agent.id";
/// The conversation that a run is a part of.
pub const CONVERSATION_ID: &str = "gen_ai.conversation.id";
/// The source that a retrieval searches.
pub const DATA_SOURCE_ID: &str = "gen_ai.data_source.id";
/// The text that a retrieval searches for.
pub const RETRIEVAL_QUERY_TEXT: &str = "gen_ai.retrieval.query.text";
/// The documents that a retrieval found.
pub const RETRIEVAL_DOCUMENTS: &str = "gen_ai.retrieval.documents";
/// The kind of error that ended the operation: a SQLSTATE, an HTTP status, the name of an exception.
pub const ERROR_TYPE: &str = "error.type";
/// [`ERROR_TYPE`] of an error that has no type.
pub const ERROR_TYPE_OTHER: &str = "_OTHER";

/// Names in older versions of the conventions. They are read and never written.
pub mod former {
    /// [`super::PROVIDER_NAME`] before 1.37.
    pub const SYSTEM: &str = "gen_ai.system";
    /// [`super::USAGE_INPUT_TOKENS`] before 1.27.
    pub const USAGE_PROMPT_TOKENS: &str = "gen_ai.usage.prompt_tokens";
    /// [`super::USAGE_OUTPUT_TOKENS`] before 1.27.
    pub const USAGE_COMPLETION_TOKENS: &str = "gen_ai.usage.completion_tokens";
    /// [`super::INPUT_MESSAGES`] before 1.28.
    pub const PROMPT: &str = "gen_ai.prompt";
    /// [`super::OUTPUT_MESSAGES`] before 1.28.
    pub const COMPLETION: &str = "gen_ai.completion";
}

/// Attributes of OpenInference (`spec/semantic_conventions.md` of `Arize-ai/openinference`). They are read and never written.
pub mod openinference {
    /// The model.
    pub const MODEL: &str = "llm.model_name";
    /// The model of an embedding.
    pub const EMBEDDING_MODEL: &str = "embedding.model_name";
    /// Tokens of the prompt.
    pub const PROMPT_TOKENS: &str = "llm.token_count.prompt";
    /// Tokens of the answer.
    pub const COMPLETION_TOKENS: &str = "llm.token_count.completion";
    /// The input of any span.
    pub const INPUT: &str = "input.value";
    /// The output of any span.
    pub const OUTPUT: &str = "output.value";
    /// The tool's name.
    pub const TOOL: &str = "tool.name";
}

/// Attributes of OpenLLMetry (`opentelemetry-semantic-conventions-ai`). They are read and never written.
pub mod traceloop {
    /// The input of a workflow, task or tool.
    pub const INPUT: &str = "traceloop.entity.input";
    /// Its output.
    pub const OUTPUT: &str = "traceloop.entity.output";
}

/// Values of [`OPERATION_NAME`].
pub mod operation {
    /// A model answers messages.
    pub const CHAT: &str = "chat";
    /// A model completes a text.
    pub const TEXT_COMPLETION: &str = "text_completion";
    /// A model answers with more than text.
    pub const GENERATE_CONTENT: &str = "generate_content";
    /// A model computes embeddings.
    pub const EMBEDDINGS: &str = "embeddings";
    /// A search.
    pub const RETRIEVAL: &str = "retrieval";
    /// A tool is called.
    pub const EXECUTE_TOOL: &str = "execute_tool";
    /// An agent is created.
    pub const CREATE_AGENT: &str = "create_agent";
    /// An agent runs.
    pub const INVOKE_AGENT: &str = "invoke_agent";
    /// A workflow of agents runs.
    pub const INVOKE_WORKFLOW: &str = "invoke_workflow";
}

/// Ragstone's own attributes, for which the conventions have no name.
pub mod own {
    /// The step's kind.
    pub const STEP_KIND: &str = "ragstone.step.kind";
    /// The step's position in its run.
    pub const STEP_NUMBER: &str = "ragstone.step.number";
    /// The step's number, by which other tables refer to it.
    pub const STEP_ID: &str = "ragstone.step.id";
    /// The run's number.
    pub const RUN_ID: &str = "ragstone.run.id";
    /// The status in the log.
    pub const STATUS: &str = "ragstone.status";
    /// The cost, in the currency of the prices.
    pub const COST: &str = "ragstone.cost";
    /// The role that owns the run.
    pub const OWNER: &str = "ragstone.owner";
    /// The input, if the conventions have no name for it.
    pub const INPUT: &str = "ragstone.input";
    /// The output, if the conventions have no name for it.
    pub const OUTPUT: &str = "ragstone.output";
    /// True if the caller's transaction was rolled back.
    pub const ROLLED_BACK: &str = "ragstone.rolled_back";
}
