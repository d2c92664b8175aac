//! Templates of known providers, so that `rag.create_provider` needs only a key.

use ragstone_core::provider::Wire;

/// The usual options of a kind of provider.
pub struct Template {
    /// The argument `kind` of `rag.create_provider`.
    pub kind: &'static str,
    /// The option `protocol`.
    pub wire: Wire,
    /// The option `base_url`; empty if each user has a different one.
    pub base_url: &'static str,
    /// True if the provider refuses calls without a key.
    pub needs_key: bool,
}

const fn template(kind: &'static str, wire: Wire, base_url: &'static str, needs_key: bool) -> Template {
    Template { kind, wire, base_url, needs_key }
}

/// All kinds, from the API documentation of each provider.
pub const TEMPLATES: &[Template] = &[
    template("openai", Wire::OpenAi, "https://api.openai.com/v1", true),
    template("anthropic", Wire::Anthropic, "https://api.anthropic.com/v1", true),
    template("gemini", Wire::Gemini, "https://generativelanguage.googleapis.com/v1beta", true),
    template("mistral", Wire::OpenAi, "https://api.mistral.ai/v1", true),
    template("groq", Wire::OpenAi, "https://api.groq.com/openai/v1", true),
    template("openrouter", Wire::OpenAi, "https://openrouter.ai/api/v1", true),
    template("deepseek", Wire::OpenAi, "https://api.deepseek.com/v1", true),
    template("together", Wire::OpenAi, "https://api.together.xyz/v1", true),
    template("fireworks", Wire::OpenAi, "https://api.fireworks.ai/inference/v1", true),
    template("xai", Wire::OpenAi, "https://api.x.ai/v1", true),
    template("cohere", Wire::Cohere, "https://api.cohere.com", true),
    template("azure", Wire::OpenAi, "", true),
    template("ollama", Wire::OpenAi, "http://localhost:11434/v1", false),
    template("vllm", Wire::OpenAi, "http://localhost:8000/v1", false),
    template("llamacpp", Wire::OpenAi, "http://localhost:8080/v1", false),
    template("lmstudio", Wire::OpenAi, "http://localhost:1234/v1", false),
    template("tei", Wire::Tei, "http://localhost:8080", false),
    template("compatible", Wire::OpenAi, "", false),
];

/// The template of a kind.
pub fn find(kind: &str) -> Option<&'static Template> {
    TEMPLATES.iter().find(|template| template.kind == kind)
}
