//! `$'…'`, in which browsers copy what holds a quote or a `!`: as a GraphQL document often does.

/// `line` with every `$'…'` written as a shell without it would have it. What is not closed stays,
/// and is an open quote to whoever reads on.
pub(super) fn without_dollar_quotes(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut rest = line;
    let mut quote = None;
    while let Some(next) = rest.chars().next() {
        let behind = rest.strip_prefix("$'").filter(|_| quote.is_none());
        if let Some((text, after)) = behind.and_then(decoded) {
            plain.push('\'');
            plain.push_str(&text.replace('\'', r"'\''"));
            plain.push('\'');
            rest = after;
            continue;
        }
        // Outside single quotes a backslash takes the meaning from what follows.
        let taken = if next == '\\' && quote != Some('\'') {
            rest.chars().take(2).map(char::len_utf8).sum()
        } else {
            next.len_utf8()
        };
        quote = match (quote, next) {
            (None, '\'' | '"') => Some(next),
            (Some(open), _) if open == next => None,
            (quote, _) => quote,
        };
        plain.push_str(&rest[..taken]);
        rest = &rest[taken..];
    }
    plain
}

/// What stands within, up to the quote that closes it, and what follows that.
fn decoded(within: &str) -> Option<(String, &str)> {
    let mut text = String::new();
    let mut rest = within;
    loop {
        let next = rest.chars().next()?;
        rest = &rest[next.len_utf8()..];
        match next {
            '\'' => return Some((text, rest)),
            '\\' => {
                let (character, after) = escape(rest)?;
                text.push(character);
                rest = after;
            }
            next => text.push(next),
        }
    }
}

/// The character that an escape stands for, and what follows it.
fn escape(rest: &str) -> Option<(char, &str)> {
    let letter = rest.chars().next()?;
    let behind = &rest[letter.len_utf8()..];
    let character = match letter {
        'n' => '\n',
        't' => '\t',
        'r' => '\r',
        'a' => '\x07',
        'b' => '\x08',
        'e' | 'E' => '\x1b',
        'f' => '\x0c',
        'v' => '\x0b',
        'x' => return Some(digits(behind, 2, 16)),
        'u' => return Some(digits(behind, 4, 16)),
        'U' => return Some(digits(behind, 8, 16)),
        '0'..='7' => return Some(digits(rest, 3, 8)),
        other => other,
    };
    Some((character, behind))
}

/// The character of so many digits at most.
fn digits(text: &str, most: usize, radix: u32) -> (char, &str) {
    let count = text.chars().take(most).take_while(|c| c.is_digit(radix)).count();
    let number = u32::from_str_radix(&text[..count], radix).ok();
    let character = number.and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER);
    (character, &text[count..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        shlex::split(&without_dollar_quotes(line)).expect("all quotes are closed")
    }

    #[test]
    fn escapes_are_those_of_the_shell() {
        let line = r#"curl --data-raw $'{"query":"a($b: Int\u0021) {\\n c\'s }"}' -H 'X: $\'"#;
        assert_eq!(words(line)[2], r#"{"query":"a($b: Int!) {\n c's }"}"#);
        assert_eq!(words(line)[4], r"X: $\");
        assert_eq!(words(r"$'\x41\101\t\q\U0001F600é'"), ["AA\tq😀é"]);
        assert_eq!(words(r#""$'a'" '$' \$'b' x$'y'"#), ["$'a'", "$", "$b", "xy"]);
        assert_eq!(without_dollar_quotes("a $'open"), "a $'open");
        assert_eq!(without_dollar_quotes("a $'open\\"), "a $'open\\");
    }
}
