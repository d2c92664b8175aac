//! The answer of a model or tool: its message, tokens, model and error, in each of LangChain's serialisations.

use super::super::attributes::AttributeWriter;
use super::super::fields::tokens_of;
use super::super::json_index::{JsonIndex, NodeKind};
use super::super::step::StepDraft;
use super::super::text_span::TextSpan;
use super::nodes::inner;

/// Reads tokens and model of a model's answer.
pub fn usage(
    writer: &mut AttributeWriter<'_>,
    json: &JsonIndex,
    output: Option<u32>,
    metadata: Option<u32>,
    draft: &mut StepDraft,
) {
    let log = writer.log;
    let model = metadata.and_then(|metadata| json.get(log, metadata, b"ls_model_name"));
    let mut model = model.filter(|model| json.node(*model).kind == NodeKind::Plain);
    if let Some(output) = output {
        let message = answer(json, log, output);
        let metadata = message.and_then(|message| json.get(log, message, b"response_metadata"));
        let llm = json.get(log, output, b"llm_output");
        let usage = message.and_then(|message| json.get(log, message, b"usage_metadata"));
        let usage = usage.filter(|usage| json.node(*usage).kind == NodeKind::Object);
        let of = |holder: Option<u32>| holder.and_then(|holder| json.get(log, holder, b"token_usage"));
        if let Some(usage) = usage.or(of(metadata)).or(of(llm)) {
            let (input, output) = tokens_of(json, log, usage);
            draft.input_tokens = draft.input_tokens.or(input);
            draft.output_tokens = draft.output_tokens.or(output);
        }
        let named = |holder: Option<u32>| holder.and_then(|holder| json.get(log, holder, b"model_name"));
        model = model.or(named(metadata)).or(named(llm));
    }
    draft.model = model.map_or(draft.model, |model| writer.text(json, model));
}

/// The message in a model's output, in any serialisation.
fn answer(json: &JsonIndex, log: &[u8], output: u32) -> Option<u32> {
    let mut message = output;
    if let Some(generations) = json.get(log, output, b"generations") {
        let first = json.elements(generations).next()?;
        let first = json.elements(first).next().unwrap_or(first);
        message = json.get(log, first, b"message")?;
    }
    Some(json.get(log, message, b"kwargs").unwrap_or(message))
}

/// The text of a piece of a streamed answer.
pub fn piece_text(json: &JsonIndex, log: &[u8], piece: u32) -> Option<TextSpan> {
    let message = json.get(log, piece, b"kwargs").unwrap_or(piece);
    let text = json.get(log, message, b"content").unwrap_or(message);
    matches!(json.node(text).kind, NodeKind::Plain | NodeKind::Escaped).then(|| inner(json, text))
}

/// The text of an error: a string, or an exception as LangChain serialises it.
pub fn error_text(writer: &mut AttributeWriter<'_>, json: &JsonIndex, error: u32) -> TextSpan {
    let log = writer.log;
    let text = [b"repr".as_slice(), b"message"].into_iter().find_map(|key| json.get(log, error, key));
    writer.text(json, text.unwrap_or(error))
}
