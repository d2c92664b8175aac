//! Conversations.

use anyhow::ensure;
use libtest_mimic::Trial;
use ragstone_tests::Result;
use ragstone_tests::provider::{Provider, Reply};
use ragstone_tests::server::shared;
use ragstone_tests::session::Session;
use serde_json::{Value, json};

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![
        a_session_names_what_is_there,
        a_conversation_goes_on_from_what_was_said,
        follow_ups_become_questions_before_they_are_searched_for,
        without_a_provider_a_collection_is_talked_with,
        a_persona_changes_in_the_middle_of_a_session,
        long_histories_are_summed_up,
        a_streamed_answer_is_written_down_at_its_end,
        sessions_are_their_owners,
        feedback_is_kept_with_its_answer,
        what_makes_no_sense_is_refused,
    ]
}

const PAGES: &str = "CREATE TABLE pages (id int PRIMARY KEY, title text, body text);
    INSERT INTO pages VALUES
      (1, 'Vacuum', 'VACUUM reclaims the storage that dead rows take up. It can run while others read and write.'),
      (2, 'Backup', 'A base backup is taken with pg_basebackup. It copies the files of the whole cluster.'),
      (3, 'Index', 'An index is made by CREATE INDEX. It makes searching a table faster.');
    SELECT rag.create_collection('pages', 'pages', 'body', title => 'title', sync => 'manual')";

async fn with(script: impl IntoIterator<Item = Reply>) -> Result<(Session, Provider, i64)> {
    let session = shared().await?.session().await?;
    let provider = Provider::start(script)?;
    let create = "SELECT rag.create_provider('stub', kind => 'compatible', base_url => $1, model => 'big', options => '{\"retries\": 0}')";
    session.execute(create, &[&provider.url()]).await?;
    let id = session.value("SELECT rag.create_session(model => 'stub')").await?;
    Ok((session, provider, id))
}

async fn say(session: &Session, id: i64, message: &str) -> Result<String> {
    session.value_of("SELECT answer FROM rag.chat($1, $2)", &[&id, &message]).await
}

fn messages(provider: &Provider, request: usize) -> Value {
    provider.requests()[request].body["messages"].clone()
}

async fn a_conversation_goes_on_from_what_was_said() -> Result<()> {
    let (session, provider, id) = with([Reply::chat("Hello Ada."), Reply::chat("Ada.")]).await?;
    ensure!(say(&session, id, "I am Ada.").await? == "Hello Ada.");
    ensure!(say(&session, id, "Who am I?").await? == "Ada.");
    let shown = json!([
        { "role": "user", "content": "I am Ada." },
        { "role": "assistant", "content": "Hello Ada." },
        { "role": "user", "content": "Who am I?" },
    ]);
    ensure!(messages(&provider, 1) == shown, "{}", messages(&provider, 1));
    let kept: Vec<String> =
        session.value("SELECT array_agg(role || ': ' || content ORDER BY id) FROM rag.messages").await?;
    ensure!(
        kept == ["user: I am Ada.", "assistant: Hello Ada.", "user: Who am I?", "assistant: Ada."],
        "{kept:?}"
    );
    ensure!(session.value::<String>("SELECT title FROM rag.sessions").await? == "I am Ada.");
    // A failed turn leaves nothing behind.
    provider.script([Reply::status(500)]);
    session.refusal(&format!("SELECT * FROM rag.chat({id}, 'lost')")).await?.expect(
        "38000",
        "status 500",
        "",
    )?;
    ensure!(session.value::<i64>("SELECT count(*) FROM rag.messages").await? == 4);
    Ok(())
}

async fn follow_ups_become_questions_before_they_are_searched_for() -> Result<()> {
    let script = [
        Reply::chat("With pg_basebackup [1]."),
        Reply::chat("What does pg_basebackup copy?"),
        Reply::chat("The files of the whole cluster [1]."),
    ];
    let (session, provider, id) = with(script).await?;
    session.batch_execute(PAGES).await?;
    let first = "SELECT answer, citations, question, answered FROM rag.chat($1, 'How is a base backup taken?', collection => 'pages')";
    let row = session.query_one(first, &[&id]).await?;
    ensure!(
        row.get::<_, bool>("answered") && row.get::<_, String>("question") == "How is a base backup taken?"
    );
    ensure!(row.get::<_, Value>("citations")[0]["title"] == "Backup", "{row:?}");
    let row = session
        .query_one("SELECT answer, citations, question FROM rag.chat($1, 'What does it copy?')", &[&id])
        .await?;
    ensure!(row.get::<_, String>("question") == "What does pg_basebackup copy?");
    ensure!(row.get::<_, String>("answer").starts_with("The files"));
    ensure!(provider.requests().len() == 3, "{} requests", provider.requests().len());
    let rewriting = messages(&provider, 1).to_string();
    ensure!(rewriting.contains("How is a base backup taken?") && rewriting.contains("What does it copy?"));
    let answering = messages(&provider, 2);
    ensure!(answering[1]["content"] == "How is a base backup taken?" && answering[2]["role"] == "assistant");
    ensure!(
        answering[3]["content"]
            .as_str()
            .is_some_and(|asked| asked.contains("<question>\nWhat does pg_basebackup copy?"))
    );
    Ok(())
}

async fn without_a_provider_a_collection_is_talked_with() -> Result<()> {
    let session = shared().await?.session().await?;
    session.batch_execute(PAGES).await?;
    let id: i64 = session.value("SELECT rag.create_session(collection => 'pages')").await?;
    let row = session
        .query_one("SELECT answer, citations FROM rag.chat($1, 'How do I take a base backup?')", &[&id])
        .await?;
    ensure!(row.get::<_, String>("answer").contains("pg_basebackup"), "{row:?}");
    let row = session
        .query_one("SELECT question, citations FROM rag.chat($1, 'What does it copy?')", &[&id])
        .await?;
    ensure!(row.get::<_, String>("question") == "How do I take a base backup? What does it copy?");
    ensure!(row.get::<_, Value>("citations")[0]["source_key"] == json!({ "id": 2 }), "{row:?}");
    let lost = session
        .query_one(
            "SELECT answered, answer FROM rag.chat($1, 'Which wine goes with grilled salmon tonight?')",
            &[&id],
        )
        .await?;
    ensure!(!lost.get::<_, bool>("answered"), "{lost:?}");
    Ok(())
}

async fn a_persona_changes_in_the_middle_of_a_session() -> Result<()> {
    let (session, provider, id) = with([Reply::chat("Aye.")]).await?;
    let set = "SELECT rag.set_persona('pirate', 'You are a pirate.', style => 'Short sentences.', temperature => 0.7)";
    ensure!(session.value::<i32>(set).await? == 1);
    say(&session, id, "hi").await?;
    let said = "SELECT persona FROM rag.chat($1, 'hi again', persona => 'pirate')";
    ensure!(session.value_of::<String>(said, &[&id]).await? == "pirate 1");
    say(&session, id, "and again").await?;
    ensure!(session.value::<i32>("SELECT rag.set_persona('pirate', 'You are an admiral.')").await? == 2);
    say(&session, id, "last").await?;
    let system = |request: usize| messages(&provider, request)[0].clone();
    ensure!(system(0)["role"] == "user");
    let pirate = json!({ "role": "system", "content": "You are a pirate.\n\nShort sentences." });
    ensure!(system(1) == pirate && system(2) == pirate && provider.requests()[1].body["temperature"] == 0.7);
    ensure!(system(3) == json!({ "role": "system", "content": "You are an admiral." }));
    // If the session has no model, the persona's model answers.
    let free: i64 = session.value("SELECT rag.create_session()").await?;
    session
        .batch_execute("SELECT rag.set_persona('clerk', 'You are a clerk.', model => 'stub/small')")
        .await?;
    session.execute("SELECT rag.chat($1, 'hi', persona => 'clerk')", &[&free]).await?;
    ensure!(provider.requests()[4].body["model"] == "small");
    let row =
        session.query_one("SELECT instructions, model FROM rag.personas WHERE name = 'clerk'", &[]).await?;
    ensure!(
        (row.get::<_, String>(0), row.get::<_, String>(1))
            == ("You are a clerk.".into(), "stub/small".into())
    );
    let versions: Vec<Option<i32>> = session
        .value("SELECT array_agg(persona_version ORDER BY id) FROM rag.messages WHERE role = 'assistant'")
        .await?;
    ensure!(versions == [None, Some(1), Some(1), Some(2), Some(1)]);
    session
        .batch_execute("DROP ROLE IF EXISTS persona_thief; CREATE ROLE persona_thief; SET ROLE persona_thief")
        .await?;
    session.refusal("SELECT rag.set_persona('pirate', 'You are mine.')").await?.expect(
        "42501",
        "belongs to postgres",
        "",
    )?;
    session.batch_execute("RESET ROLE; DROP ROLE persona_thief").await?;
    Ok(())
}

async fn long_histories_are_summed_up() -> Result<()> {
    let reply = Reply::by(|seen| {
        let system = seen.body["messages"][0]["content"].as_str().unwrap_or_default();
        Reply::chat(if system.contains("Summarise") { "They spoke of numbers." } else { "I see." })
    });
    let (session, provider, id) = with([reply]).await?;
    session.batch_execute("ALTER SERVER stub OPTIONS (ADD context_window '400')").await?;
    for turn in 0..4 {
        say(&session, id, &format!("{turn} {}", "one two three four ".repeat(8))).await?;
    }
    ensure!(session.value::<String>("SELECT summary FROM rag.sessions").await? == "They spoke of numbers.");
    let last = messages(&provider, provider.requests().len() - 1);
    ensure!(last[0]["content"].as_str().is_some_and(|it| it.contains("They spoke of numbers.")), "{last}");
    ensure!(!last.to_string().contains("0 one two"), "what was summed up is shown still: {last}");
    Ok(())
}

async fn a_streamed_answer_is_written_down_at_its_end() -> Result<()> {
    let (session, provider, id) = with([Reply::chat_stream(&["One ", "two."])]).await?;
    let stream =
        "SELECT array_agg(piece) FROM (SELECT rag.chat_stream($1, 'count') AS piece OFFSET 0) pieces";
    ensure!(session.value_of::<Vec<String>>(stream, &[&id]).await? == ["One ", "two."]);
    ensure!(
        session.value::<String>("SELECT content FROM rag.messages WHERE role = 'assistant'").await?
            == "One two."
    );
    session.batch_execute(PAGES).await?;
    provider.script([Reply::chat("What is VACUUM?"), Reply::chat_stream(&["NO_", "ANSWER"])]);
    let stream = "SELECT array_agg(piece) FROM (SELECT rag.chat_stream($1, 'what is it?', collection => 'pages') AS piece OFFSET 0) pieces";
    let pieces: Vec<String> = session.value_of(stream, &[&id]).await?;
    ensure!(pieces == ["The collection does not answer this question."], "{pieces:?}");
    provider
        .script([Reply::chat("What is VACUUM?"), Reply::chat_stream(&["It reclaims ", "storage [1][7]."])]);
    let pieces: Vec<String> = session.value_of(stream, &[&id]).await?;
    ensure!(pieces == ["It reclaims ", "storage [1][7]."], "{pieces:?}");
    let row = session
        .query_one("SELECT content, citations FROM rag.messages ORDER BY id DESC LIMIT 1", &[])
        .await?;
    ensure!(row.get::<_, String>("content") == "It reclaims storage [1].", "{row:?}");
    ensure!(row.get::<_, Value>("citations").as_array().is_some_and(|cited| cited.len() == 1));
    Ok(())
}

async fn sessions_are_their_owners() -> Result<()> {
    let (session, _provider, id) = with([Reply::chat("yes")]).await?;
    say(&session, id, "my secret").await?;
    session
        .batch_execute("DROP ROLE IF EXISTS chat_other; CREATE ROLE chat_other; GRANT USAGE ON FOREIGN SERVER stub TO chat_other; SET ROLE chat_other")
        .await?;
    for view in ["rag.sessions", "rag.messages", "rag.message_feedback"] {
        ensure!(session.value::<i64>(&format!("SELECT count(*) FROM {view}")).await? == 0, "{view}");
    }
    for (statement, what) in [
        (format!("SELECT * FROM rag.chat({id}, 'and mine')"), "session"),
        (format!("SELECT rag.delete_session({id})"), "session"),
        (format!("SELECT rag.feedback({}, 1)", id + 1), "answer"),
    ] {
        session.refusal(&statement).await?.expect("42704", &format!("{what} "), "See rag.")?;
    }
    session
        .refusal("INSERT INTO rag._messages (session, role, content) VALUES (1, 'user', 'x')")
        .await?
        .expect("42501", "", "")?;
    let own: i64 = session.value("SELECT rag.create_session(model => 'stub')").await?;
    say(&session, own, "hi").await?;
    ensure!(session.value::<i64>("SELECT count(*) FROM rag.messages").await? == 2);
    session.execute("SELECT rag.delete_session($1)", &[&own]).await?;
    ensure!(session.value::<i64>("SELECT count(*) FROM rag.messages").await? == 0);
    session.batch_execute("RESET ROLE; GRANT rag_auditor TO chat_other; SET ROLE chat_other").await?;
    ensure!(session.value::<i64>("SELECT count(*) FROM rag.messages").await? == 2, "an auditor sees nothing");
    session.batch_execute("RESET ROLE; DROP OWNED BY chat_other; DROP ROLE chat_other").await?;
    Ok(())
}

async fn feedback_is_kept_with_its_answer() -> Result<()> {
    let (session, _provider, id) = with([Reply::chat("42")]).await?;
    let message: i64 = session.value_of("SELECT message_id FROM rag.chat($1, 'why?')", &[&id]).await?;
    session.execute("SELECT rag.feedback($1, -1, 'wrong')", &[&message]).await?;
    session.execute("SELECT rag.feedback($1, 1, 'right after all')", &[&message]).await?;
    let row = session.query_one("SELECT score, comment, answer FROM rag.message_feedback", &[]).await?;
    ensure!(
        (row.get::<_, i32>(0), row.get::<_, String>(1), row.get::<_, String>(2))
            == (1, "right after all".into(), "42".into())
    );
    session.refusal(&format!("SELECT rag.feedback({message}, 5)")).await?.expect("22023", "score must be", "")
}

async fn what_makes_no_sense_is_refused() -> Result<()> {
    let (session, provider, id) = with([Reply::chat("yes")]).await?;
    for (statement, code, message) in [
        (format!("SELECT * FROM rag.chat({id}, ' ')"), "22023", "message is empty"),
        (format!("SELECT * FROM rag.chat({id}, NULL)"), "22004", "message must not be null"),
        ("SELECT * FROM rag.chat(NULL, 'hi')".to_owned(), "22004", "session must not be null"),
        ("SELECT * FROM rag.chat(-1, 'hi')".to_owned(), "42704", "session -1 does not exist"),
        (format!("SELECT * FROM rag.chat({id}, 'hi', persona => 'nobody')"), "42704", "persona \"nobody\""),
        (
            format!("SELECT * FROM rag.chat({id}, 'hi', collection => 'nothing')"),
            "42704",
            "collection \"nothing\"",
        ),
        (
            format!("SELECT * FROM rag.chat({id}, 'hi', model => 'local/extractive')"),
            "42704",
            "passages only",
        ),
        ("SELECT rag.set_persona('', 'x')".to_owned(), "22023", "needs a name"),
    ] {
        session.refusal(&statement).await?.expect(code, message, "")?;
    }
    ensure!(provider.requests().is_empty(), "a provider was asked");
    ensure!(session.value::<i64>("SELECT count(*) FROM rag.messages").await? == 0);
    Ok(())
}

async fn a_session_names_what_is_there() -> Result<()> {
    let session = shared().await?.session().await?;
    for (argument, message) in [
        ("collection => 'nothing'", "collection \"nothing\" does not exist"),
        ("persona => 'nobody'", "persona \"nobody\" does not exist"),
        ("model => 'nowhere/m'", "nowhere"),
    ] {
        let refusal = session.refusal(&format!("SELECT rag.create_session({argument})")).await?;
        refusal.expect("42704", message, "")?;
    }
    ensure!(session.value::<i64>("SELECT count(*) FROM rag.sessions").await? == 0);
    Ok(())
}
