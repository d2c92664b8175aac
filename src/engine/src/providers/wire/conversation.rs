//! The messages of a conversation as all providers take them.

use ragstone_core::provider::{Message, Role};

/// The messages without those that say nothing, which providers refuse, and with consecutive messages of one author as one:
/// the chat templates of many models want the roles to alternate. The last message stays in any case.
pub fn sendable(messages: &[Message]) -> Vec<Message> {
    let mut sent: Vec<Message> = Vec::with_capacity(messages.len());
    for (position, message) in messages.iter().enumerate() {
        let says_nothing = message.content.trim().is_empty() && message.tool_calls.is_none();
        if says_nothing && message.role != Role::Tool && position + 1 < messages.len() {
            continue;
        }
        match sent.last_mut() {
            Some(last) if last.role == message.role && is_text(last) && is_text(message) => {
                last.content.push_str("\n\n");
                last.content.push_str(&message.content);
            }
            _ => sent.push(message.clone()),
        }
    }
    sent
}

fn is_text(message: &Message) -> bool {
    message.role != Role::Tool && message.tool_calls.is_none() && message.own.is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_says_nothing_is_left_out_and_roles_alternate() {
        use Role::{Assistant, System, Tool, User};
        let calls = Message { tool_calls: Some("[]".into()), ..Message::new(Assistant, "") };
        let messages = [
            Message::new(System, "be brief"),
            Message::new(System, "summary"),
            Message::new(User, "a"),
            Message::new(Assistant, " \n"),
            Message::new(User, "b"),
            calls.clone(),
            Message::new(Tool, ""),
            Message::new(Tool, "x"),
            Message::new(Assistant, "c"),
            Message::new(User, ""),
        ];
        let expected = [
            Message::new(System, "be brief\n\nsummary"),
            Message::new(User, "a\n\nb"),
            calls,
            Message::new(Tool, ""),
            Message::new(Tool, "x"),
            Message::new(Assistant, "c"),
            Message::new(User, ""),
        ];
        assert_eq!(sendable(&messages), expected);
    }
}
