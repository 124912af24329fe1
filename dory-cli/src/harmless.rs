//! What strangers named, shown without obeying it.

use std::borrow::Cow;

/// `text` without what moves a cursor, rings, hides or turns words round: names and labels come from strangers. Dory's
/// own colours stay.
pub(crate) fn harmless(text: &str) -> Cow<'_, str> {
    let turns = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let strange = |c: char| (c.is_control() && c != '\n' && c != '\t') || turns(c);
    if !text.contains(strange) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for (at, c) in text.char_indices() {
        if strange(c) && !(c == '\u{1b}' && begins_colour(&text[at..])) {
            safe.extend(c.escape_unicode());
        } else {
            safe.push(c);
        }
    }
    Cow::Owned(safe)
}

/// Whether `text` begins with a sequence that sets a colour and does nothing else.
fn begins_colour(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("\u{1b}[") else { return false };
    rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';').starts_with('m')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_commands_a_terminal_is_shown_and_not_sent() {
        assert_eq!(harmless("plain\tétoile\n"), "plain\tétoile\n");
        assert_eq!(harmless("\u{1b}[31mred\u{1b}[0m"), "\u{1b}[31mred\u{1b}[0m");
        assert_eq!(harmless("a\u{1b}[2Jb"), "a\\u{1b}[2Jb");
        assert_eq!(harmless("\u{1b}]0;title\u{7}"), "\\u{1b}]0;title\\u{7}");
        assert_eq!(harmless("x\u{9b}2J \u{202e}gpj.exe\r"), "x\\u{9b}2J \\u{202e}gpj.exe\\u{d}");
    }
}
