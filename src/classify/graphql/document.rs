//! The one operation of a document, where it has one.
//!
//! Not a parser: it finds where definitions begin and end, by the tokens of the GraphQL
//! specification (October 2021, §2.1), and believes nothing of a document whose brackets, strings
//! or first words are not right. What stands within a definition is for the application to judge.

/// The deepest nesting of brackets; the application reads such documents, nobody writes them.
const DEPTH_MAX: usize = 256;

/// A document, from where it has been read.
struct Lexer<'a> {
    rest: &'a [u8],
}

/// As much of a token as matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'a> {
    Name(&'a [u8]),
    Open(u8),
    Close(u8),
    Text,
    /// A number or a mark.
    Other,
}

/// What a document holds.
#[derive(Clone, Copy, Debug)]
enum Definition<'a> {
    Fragment,
    /// With its name, where it has one.
    Operation(Option<&'a [u8]>),
}

/// The text is no document.
#[derive(Debug)]
struct Broken;

/// The name of the operation, in a document that has exactly one, with a name. `None` also where
/// the text is no document.
pub(super) fn sole_operation(text: &[u8]) -> Option<Box<str>> {
    let mut lexer = Lexer { rest: text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text) };
    let mut sole = None;
    while let Some(definition) = lexer.definition().ok()? {
        match (definition, sole) {
            (Definition::Fragment, _) => {}
            (Definition::Operation(name), None) => sole = Some(name),
            (Definition::Operation(_), Some(_)) => return None,
        }
    }
    super::name(sole??)
}

/// Whether `text` is a name: letters, digits and `_`, no digit first.
pub(super) fn is_name(text: &[u8]) -> bool {
    let (letter, part) = (text.first().is_some_and(begins_name), text.iter().all(within_name));
    letter && part
}

// === impl Lexer ===

impl<'a> Lexer<'a> {
    /// The next definition; `None` at the end.
    fn definition(&mut self) -> Result<Option<Definition<'a>>, Broken> {
        let mut token = self.token()?;
        if token == Some(Token::Text) {
            // A description, which newer documents may have.
            token = self.token()?;
            if token.is_none() {
                return Err(Broken);
            }
        }
        match token {
            None => Ok(None),
            Some(Token::Open(b'{')) => {
                self.leave(b'}')?;
                Ok(Some(Definition::Operation(None)))
            }
            Some(Token::Name(b"query" | b"mutation" | b"subscription")) => {
                Ok(Some(Definition::Operation(self.until_selection()?)))
            }
            Some(Token::Name(b"fragment")) => match self.until_selection()? {
                Some(_) => Ok(Some(Definition::Fragment)),
                None => Err(Broken),
            },
            Some(_) => Err(Broken),
        }
    }

    /// Passes over what stands before the braces of a definition, and over them; the name that
    /// stands first, if one does.
    fn until_selection(&mut self) -> Result<Option<&'a [u8]>, Broken> {
        let mut name = None;
        let mut first = true;
        loop {
            match self.token()?.ok_or(Broken)? {
                Token::Name(text) if first => name = Some(text),
                Token::Name(_) | Token::Other => {}
                Token::Open(b'{') => return self.leave(b'}').map(|()| name),
                Token::Open(b'(') => self.leave(b')')?,
                Token::Open(_) | Token::Close(_) | Token::Text => return Err(Broken),
            }
            first = false;
        }
    }

    /// Passes over everything up to and with `end`, the bracket that closes what is open.
    fn leave(&mut self, end: u8) -> Result<(), Broken> {
        let mut open = vec![end];
        while let Some(&innermost) = open.last() {
            match self.token()?.ok_or(Broken)? {
                Token::Open(_) if open.len() == DEPTH_MAX => return Err(Broken),
                Token::Open(b'(') => open.push(b')'),
                Token::Open(b'[') => open.push(b']'),
                Token::Open(_) => open.push(b'}'),
                Token::Close(bracket) if bracket == innermost => {
                    open.pop();
                }
                Token::Close(_) => return Err(Broken),
                Token::Name(_) | Token::Text | Token::Other => {}
            }
        }
        Ok(())
    }

    /// The next token; `None` at the end.
    fn token(&mut self) -> Result<Option<Token<'a>>, Broken> {
        self.pass_over_what_is_ignored();
        let Some(&first) = self.rest.first() else { return Ok(None) };
        if begins_name(&first) {
            let text = self.take_while(within_name);
            return Ok(Some(Token::Name(text)));
        }
        if first == b'"' {
            return self.text().map(|()| Some(Token::Text));
        }
        self.rest = &self.rest[1..];
        match first {
            b'{' | b'(' | b'[' => Ok(Some(Token::Open(first))),
            b'}' | b')' | b']' => Ok(Some(Token::Close(first))),
            b'!' | b'$' | b'&' | b'.' | b':' | b'=' | b'@' | b'|' | b'+' | b'-' => {
                Ok(Some(Token::Other))
            }
            b'0'..=b'9' => {
                self.take_while(within_name);
                Ok(Some(Token::Other))
            }
            _ => Err(Broken),
        }
    }

    /// Blanks, commas and comments.
    fn pass_over_what_is_ignored(&mut self) {
        loop {
            self.take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b','));
            if self.rest.first() != Some(&b'#') {
                return;
            }
            self.take_while(|byte| !matches!(byte, b'\n' | b'\r'));
        }
    }

    /// A string, or a block of lines.
    fn text(&mut self) -> Result<(), Broken> {
        if let Some(block) = self.rest.strip_prefix(b"\"\"\"") {
            let mut rest = block;
            loop {
                let at = memchr::memmem::find(rest, b"\"\"\"").ok_or(Broken)?;
                let escaped = rest[..at].ends_with(b"\\");
                rest = &rest[at + 3..];
                if !escaped {
                    self.rest = rest;
                    return Ok(());
                }
            }
        }
        let mut rest = &self.rest[1..];
        loop {
            match rest {
                [b'"', behind @ ..] => {
                    self.rest = behind;
                    return Ok(());
                }
                [b'\n' | b'\r', ..] | [] | [b'\\'] => return Err(Broken),
                [b'\\', _, behind @ ..] | [_, behind @ ..] => rest = behind,
            }
        }
    }

    fn take_while(&mut self, fits: impl Fn(&u8) -> bool) -> &'a [u8] {
        let end = self.rest.iter().position(|byte| !fits(byte)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }
}

fn begins_name(byte: &u8) -> bool {
    byte.is_ascii_alphabetic() || *byte == b'_'
}

fn within_name(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || *byte == b'_'
}
