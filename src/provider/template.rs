//! Providers that are known by name, so that a key is all that has to be given.

/// What a kind of provider has in common. Keys are made at the address in `keys`.
pub struct Template {
    /// Its name in SQL.
    pub kind: &'static str,
    /// The option `protocol`.
    pub protocol: &'static str,
    /// The option `base_url`; empty where each user has another.
    pub base_url: &'static str,
    /// Whether it answers nobody without a key.
    pub needs_key: bool,
}

const fn template(
    kind: &'static str,
    protocol: &'static str,
    base_url: &'static str,
    needs_key: bool,
) -> Template {
    Template { kind, protocol, base_url, needs_key }
}

/// All kinds, from each provider's own documentation of its API.
pub const TEMPLATES: [Template; 18] = [
    template("openai", "openai", "https://api.openai.com/v1", true),
    template("anthropic", "anthropic", "https://api.anthropic.com/v1", true),
    template("gemini", "gemini", "https://generativelanguage.googleapis.com/v1beta", true),
    template("mistral", "openai", "https://api.mistral.ai/v1", true),
    template("groq", "openai", "https://api.groq.com/openai/v1", true),
    template("openrouter", "openai", "https://openrouter.ai/api/v1", true),
    template("deepseek", "openai", "https://api.deepseek.com/v1", true),
    template("together", "openai", "https://api.together.xyz/v1", true),
    template("fireworks", "openai", "https://api.fireworks.ai/inference/v1", true),
    template("xai", "openai", "https://api.x.ai/v1", true),
    template("cohere", "cohere", "https://api.cohere.com", true),
    template("azure", "openai", "", true),
    template("ollama", "openai", "http://localhost:11434/v1", false),
    template("vllm", "openai", "http://localhost:8000/v1", false),
    template("llamacpp", "openai", "http://localhost:8080/v1", false),
    template("lmstudio", "openai", "http://localhost:1234/v1", false),
    template("tei", "tei", "http://localhost:8080", false),
    template("compatible", "openai", "", false),
];

/// The template of a kind.
pub fn find(kind: &str) -> Option<&'static Template> {
    TEMPLATES.iter().find(|template| template.kind == kind)
}
