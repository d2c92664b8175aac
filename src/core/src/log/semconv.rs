//! Names of attributes as OpenTelemetry's conventions for generative AI have them, pinned here and nowhere else.
//!
//! The version is 1.41.1 of the semantic conventions, the last that has these names itself: they have moved to a
//! repository of their own (`open-telemetry/semantic-conventions-genai`), which has no release yet and keeps all of those
//! below. Sources: `docs/gen-ai/gen-ai-spans.md`, `docs/gen-ai/gen-ai-agent-spans.md`.

/// Version of the conventions.
pub const VERSION: &str = "1.41.1";

/// Of the same, as spans refer to it.
pub const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.41.1";

/// What is done: one of [`operation`].
pub const OPERATION_NAME: &str = "gen_ai.operation.name";
/// The provider of the model: `openai`, `anthropic`, …, or the name of a server.
pub const PROVIDER_NAME: &str = "gen_ai.provider.name";
/// The model that was asked for.
pub const REQUEST_MODEL: &str = "gen_ai.request.model";
/// Temperature that was asked for.
pub const REQUEST_TEMPERATURE: &str = "gen_ai.request.temperature";
/// Most tokens of the answer.
pub const REQUEST_MAX_TOKENS: &str = "gen_ai.request.max_tokens";
/// The model that answered.
pub const RESPONSE_MODEL: &str = "gen_ai.response.model";
/// The provider's number of the answer.
pub const RESPONSE_ID: &str = "gen_ai.response.id";
/// Why the model stopped, an array of strings.
pub const RESPONSE_FINISH_REASONS: &str = "gen_ai.response.finish_reasons";
/// Tokens of the prompt.
pub const USAGE_INPUT_TOKENS: &str = "gen_ai.usage.input_tokens";
/// Tokens of the answer.
pub const USAGE_OUTPUT_TOKENS: &str = "gen_ai.usage.output_tokens";
/// The messages that were sent.
pub const INPUT_MESSAGES: &str = "gen_ai.input.messages";
/// The messages that came back.
pub const OUTPUT_MESSAGES: &str = "gen_ai.output.messages";
/// Instructions beside the messages.
pub const SYSTEM_INSTRUCTIONS: &str = "gen_ai.system_instructions";
/// The tool's name.
pub const TOOL_NAME: &str = "gen_ai.tool.name";
/// `function`, `extension` or `datastore`.
pub const TOOL_TYPE: &str = "gen_ai.tool.type";
/// What the model calls this call.
pub const TOOL_CALL_ID: &str = "gen_ai.tool.call.id";
/// What the tool was called with.
pub const TOOL_CALL_ARGUMENTS: &str = "gen_ai.tool.call.arguments";
/// What the tool gave.
pub const TOOL_CALL_RESULT: &str = "gen_ai.tool.call.result";
/// The agent's name.
pub const AGENT_NAME: &str = "gen_ai.agent.name";
/// The agent's number.
pub const AGENT_ID: &str = "gen_ai.agent.id";
/// The conversation, of which a run is a part.
pub const CONVERSATION_ID: &str = "gen_ai.conversation.id";
/// Where a retrieval looks.
pub const DATA_SOURCE_ID: &str = "gen_ai.data_source.id";
/// What a retrieval looks for.
pub const RETRIEVAL_QUERY_TEXT: &str = "gen_ai.retrieval.query.text";
/// What a retrieval found.
pub const RETRIEVAL_DOCUMENTS: &str = "gen_ai.retrieval.documents";
/// What kind of error ended the operation: a SQLSTATE, a status of HTTP, the name of an exception.
pub const ERROR_TYPE: &str = "error.type";
/// Of an error that has no type.
pub const ERROR_TYPE_OTHER: &str = "_OTHER";

/// Names that older versions have for the same. They are read and never written.
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

/// Values of [`OPERATION_NAME`].
pub mod operation {
    /// A model answers messages.
    pub const CHAT: &str = "chat";
    /// A model completes a text.
    pub const TEXT_COMPLETION: &str = "text_completion";
    /// A model answers with more than text.
    pub const GENERATE_CONTENT: &str = "generate_content";
    /// A model makes vectors.
    pub const EMBEDDINGS: &str = "embeddings";
    /// Something is searched.
    pub const RETRIEVAL: &str = "retrieval";
    /// A tool is called.
    pub const EXECUTE_TOOL: &str = "execute_tool";
    /// An agent is made.
    pub const CREATE_AGENT: &str = "create_agent";
    /// An agent runs.
    pub const INVOKE_AGENT: &str = "invoke_agent";
    /// A workflow of agents runs.
    pub const INVOKE_WORKFLOW: &str = "invoke_workflow";
}

/// Attributes of Ragstone's own, for which the conventions have no name.
pub mod own {
    /// The step's kind.
    pub const STEP_KIND: &str = "ragstone.step.kind";
    /// The step's place in its run.
    pub const STEP_NUMBER: &str = "ragstone.step.number";
    /// The step's number, by which other tables refer to it.
    pub const STEP_ID: &str = "ragstone.step.id";
    /// The run's number.
    pub const RUN_ID: &str = "ragstone.run.id";
    /// What became of it, as the log says it.
    pub const STATUS: &str = "ragstone.status";
    /// In the currency of the prices.
    pub const COST: &str = "ragstone.cost";
    /// Whose run it is.
    pub const OWNER: &str = "ragstone.owner";
    /// What was given, where the conventions have no name for it.
    pub const INPUT: &str = "ragstone.input";
    /// What came of it, where the conventions have no name for it.
    pub const OUTPUT: &str = "ragstone.output";
    /// Whether the caller's transaction was rolled back.
    pub const ROLLED_BACK: &str = "ragstone.rolled_back";
}
