//! Calls to a provider that is a stub.

use ragstone_core::{
    failure::Failure,
    protocol::{Request, Response},
    provider::{Account, Completion, Key, Limits, Message, Prices, Prompt, Role, Secret, Target, Wire},
};
use ragstone_tests::provider::{Provider, Reply};

use super::EngineProcess;

pub const KEY: &str = "sk-very-secret-key";

pub fn target(url: &str) -> Target {
    Target {
        database: 5,
        server: 1,
        name: "openai".into(),
        wire: Wire::OpenAi,
        base_url: url.into(),
        key: Key::Value(Secret(KEY.into())),
        limits: Limits {
            connect_timeout_ms: 5_000,
            timeout_ms: 30_000,
            retries: 2,
            concurrency: 8,
            requests_per_minute: None,
            tokens_per_minute: None,
            max_reply_bytes: 1 << 20,
            max_texts: 96,
        },
        prices: Prices { input: 1e6, output: 2e6 },
    }
}

pub fn prompt() -> Prompt {
    let messages =
        vec![Message::new(Role::System, "be brief"), Message::new(Role::User, "my secret question")];
    Prompt { model: "m".into(), messages, ..Prompt::default() }
}

pub fn ask(target: Target, prompt: Prompt, stream: bool) -> Request {
    Request::Complete {
        target: Box::new(target),
        prompt: Box::new(prompt),
        account: Account::default(),
        stream,
    }
}

pub fn completed(response: Response) -> Completion {
    match response {
        Response::Completed(completion) => *completion,
        other => panic!("{other:?}"),
    }
}

/// Makes a call that fails, to a provider with this script. Returns the failure, after checking that it contains no
/// secret, and the provider.
pub fn failure(
    script: impl IntoIterator<Item = Reply>,
    change: impl FnOnce(&mut Target),
) -> (Failure, Provider) {
    let provider = Provider::start(script).unwrap();
    let mut target = target(&provider.url());
    change(&mut target);
    let failure = EngineProcess::start().connect().failure(ask(target, prompt(), false));
    assert_contains_no_secret(&failure);
    (failure, provider)
}

pub fn assert_contains_no_secret(failure: &Failure) {
    let text = format!("{failure:?}");
    assert!(!text.contains("secret") && !text.contains(KEY), "{text}");
}
