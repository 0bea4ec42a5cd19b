//! The words of XKB's text format.

/// One word, with where it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub(super) word: Word<'a>,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// What a word is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word<'a> {
    /// A name or a number: `type`, `NumLock`, `0x12`.
    Plain(&'a str),
    /// `"..."`, without its quotes.
    Quoted(&'a str),
    /// `<AB01>`, without its brackets.
    Key(&'a str),
    /// Any other character.
    Mark(char),
}

/// The words of a text, comments left out.
pub(super) fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut all = Vec::new();
    let mut at = 0;
    while let Some(rest) = text.get(at..) {
        let Some(c) = rest.chars().next() else { break };
        let start = at;
        let until = |end: Option<usize>| end.unwrap_or(rest.len());
        let (length, word) = match c {
            _ if c.is_whitespace() => (c.len_utf8(), None),
            '#' => (until(rest.find('\n')), None),
            '/' if rest.starts_with("//") => (until(rest.find('\n')), None),
            '"' => {
                let body = rest.get(1..).unwrap_or_default();
                let end = body.find('"').unwrap_or(body.len());
                (end + 2, body.get(..end).map(Word::Quoted))
            }
            '<' => {
                let body = rest.get(1..).unwrap_or_default();
                let end = body.find('>').unwrap_or(body.len());
                (end + 2, body.get(..end).map(|name| Word::Key(name.trim())))
            }
            _ if c.is_ascii_alphanumeric() || c == '_' => {
                let end = until(rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')));
                (end, rest.get(..end).map(Word::Plain))
            }
            _ => (c.len_utf8(), Some(Word::Mark(c))),
        };
        at += length;
        all.extend(word.map(|word| Token { word, start, end: at.min(text.len()) }));
    }
    all
}

/// Words that are being read one after the other.
#[derive(Clone, Debug)]
pub(super) struct Words<'a, 't> {
    rest: &'t [Token<'a>],
}

impl<'a, 't> Words<'a, 't> {
    pub(super) fn new(all: &'t [Token<'a>]) -> Self {
        Self { rest: all }
    }

    pub(super) fn next(&mut self) -> Option<Token<'a>> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    pub(super) fn peek(&self) -> Option<Word<'a>> {
        self.rest.first().map(|t| t.word)
    }

    /// Takes the next word if it is this mark.
    pub(super) fn takes(&mut self, mark: char) -> bool {
        let is = self.peek() == Some(Word::Mark(mark));
        if is {
            self.next();
        }
        is
    }

    /// Everything up to the mark that closes what was just opened, and that mark's place; the mark is taken too.
    pub(super) fn inside(&mut self) -> (Self, usize) {
        let mut depth = 0usize;
        for (i, token) in self.rest.iter().enumerate() {
            match token.word {
                Word::Mark('{' | '[' | '(') => depth += 1,
                Word::Mark('}' | ']' | ')') if depth == 0 => {
                    let (inner, rest) = self.rest.split_at(i);
                    self.rest = rest.get(1..).unwrap_or_default();
                    return (Self { rest: inner }, token.start);
                }
                Word::Mark('}' | ']' | ')') => depth -= 1,
                _ => {}
            }
        }
        let at = self.rest.last().map_or(0, |t| t.end);
        (Self { rest: std::mem::take(&mut self.rest) }, at)
    }

    /// Everything up to the next `end` outside of brackets; it is taken too.
    pub(super) fn until(&mut self, end: char) -> Self {
        let mut depth = 0usize;
        let all = self.rest;
        for (i, token) in all.iter().enumerate() {
            match token.word {
                Word::Mark(mark) if mark == end && depth == 0 => {
                    self.rest = all.get(i + 1..).unwrap_or_default();
                    return Self { rest: all.get(..i).unwrap_or_default() };
                }
                Word::Mark('{' | '[' | '(') => depth += 1,
                Word::Mark('}' | ']' | ')') => depth = depth.saturating_sub(1),
                _ => {}
            }
        }
        self.rest = &[];
        Self { rest: all }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next word if it is a plain one.
    pub(super) fn plain(&mut self) -> Option<&'a str> {
        match self.peek() {
            Some(Word::Plain(word)) => {
                self.next();
                Some(word)
            }
            _ => None,
        }
    }
}
