//! Conditions on a row: `status in ('PAID', 'SENT') and not blocked and total >= 100`. A small part of what SQL's `where`
//! says, with the surprises taken out: a field that the row doesn't have is a mistake and not false, null is a value that
//! equals null and nothing else, and numbers are compared digit by digit, never as floats.

use super::decimal::Decimal;
use super::{MapError, Reason, find, plain_text};
use serde_json::{Map, Value};
use std::cmp::Ordering;

/// A condition, as it was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    text: String,
    test: Test,
}

/// A condition that is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct BadCondition {
    /// Where the mistake stands, in characters from the start.
    pub offset: usize,
    /// What is wrong there.
    pub problem: String,
}

#[derive(Debug, Clone, PartialEq)]
enum Test {
    All(Vec<Test>),
    Any(Vec<Test>),
    Not(Box<Test>),
    Compare(Operand, Relation, Operand),
    In(Operand, Vec<Operand>),
    /// Null, or not there at all.
    Null(String),
    /// A field that is true or false by itself.
    Flag(String),
}

#[derive(Debug, Clone, PartialEq)]
enum Operand {
    Field(String),
    Value(Value),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Relation {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Condition {
    /// Reads a condition.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn new(text: &str) -> Result<Self, BadCondition> {
        let mut parser = Parser { tokens: tokens(text)?, at: 0, end: text.chars().count() };
        let test = parser.any()?;
        match parser.tokens.get(parser.at) {
            Some((offset, token)) => Err(BadCondition {
                offset: *offset,
                problem: format!("{} was not expected here", token.shown()),
            }),
            None => Ok(Self { text: text.to_owned(), test }),
        }
    }

    /// Whether it holds for a row.
    ///
    /// # Errors
    /// The row has no such field, or one that can't be compared so.
    pub fn holds(&self, row: &Map<String, Value>) -> Result<bool, MapError> {
        self.test.holds(row).map_err(|reason| MapError { target: format!("where {}", self.text), reason })
    }

    /// The fields it asks for.
    #[must_use]
    pub fn fields(&self) -> Vec<&str> {
        let mut fields = Vec::new();
        self.test.fields(&mut fields);
        fields
    }
}

impl Test {
    fn holds(&self, row: &Map<String, Value>) -> Result<bool, Reason> {
        Ok(match self {
            Self::All(tests) => {
                for test in tests {
                    if !test.holds(row)? {
                        return Ok(false);
                    }
                }
                true
            }
            Self::Any(tests) => {
                for test in tests {
                    if test.holds(row)? {
                        return Ok(true);
                    }
                }
                false
            }
            Self::Not(test) => !test.holds(row)?,
            Self::Compare(left, relation, right) => {
                relation.of(compare(left.value(row)?, right.value(row)?, *relation)?)
            }
            Self::In(left, list) => {
                let left = left.value(row)?;
                for value in list {
                    if compare(left, value.value(row)?, Relation::Equal)? == Some(Ordering::Equal) {
                        return Ok(true);
                    }
                }
                false
            }
            Self::Null(field) => find(row, field).is_none_or(Value::is_null),
            Self::Flag(field) => match field_of(row, field)? {
                Value::Null => false,
                value => super::truth(value).ok_or_else(|| unfit(value, "true or false"))?,
            },
        })
    }

    fn fields<'a>(&'a self, fields: &mut Vec<&'a str>) {
        match self {
            Self::All(tests) | Self::Any(tests) => tests.iter().for_each(|test| test.fields(fields)),
            Self::Not(test) => test.fields(fields),
            Self::Compare(left, _, right) => {
                fields.extend([left, right].into_iter().filter_map(Operand::field))
            }
            Self::In(left, list) => {
                fields.extend(std::iter::once(left).chain(list).filter_map(Operand::field));
            }
            Self::Null(field) | Self::Flag(field) => fields.push(field),
        }
    }
}

impl Operand {
    fn value<'a>(&'a self, row: &'a Map<String, Value>) -> Result<&'a Value, Reason> {
        match self {
            Self::Value(value) => Ok(value),
            Self::Field(field) => field_of(row, field),
        }
    }

    fn field(&self) -> Option<&str> {
        match self {
            Self::Field(field) => Some(field),
            Self::Value(_) => None,
        }
    }
}

impl Relation {
    fn of(self, ordering: Option<Ordering>) -> bool {
        match self {
            Self::Equal => ordering == Some(Ordering::Equal),
            Self::Unequal => ordering != Some(Ordering::Equal),
            Self::Less => ordering == Some(Ordering::Less),
            Self::LessOrEqual => ordering.is_some_and(Ordering::is_le),
            Self::Greater => ordering == Some(Ordering::Greater),
            Self::GreaterOrEqual => ordering.is_some_and(Ordering::is_ge),
        }
    }
}

fn field_of<'a>(row: &'a Map<String, Value>, field: &str) -> Result<&'a Value, Reason> {
    find(row, field).ok_or_else(|| Reason::Missing(field.to_owned()))
}

fn unfit(value: &Value, expected: &str) -> Reason {
    Reason::Type { value: super::shortened(value), expected: expected.to_owned() }
}

/// How two values stand to each other; nothing where they are not equal and have no order.
fn compare(left: &Value, right: &Value, relation: Relation) -> Result<Option<Ordering>, Reason> {
    let equality = |equal: bool| Ok(equal.then_some(Ordering::Equal));
    match (left, right) {
        (Value::Null, _) | (_, Value::Null) => equality(left.is_null() && right.is_null()),
        (Value::Bool(flag), value) | (value, Value::Bool(flag)) => {
            let truth = super::truth(value).ok_or_else(|| unfit(value, "true or false"))?;
            equality(truth == *flag)
        }
        (Value::Number(_), value) | (value, Value::Number(_)) => {
            let decimal = |value: &Value| Decimal::parse(plain_text(value).trim());
            match (decimal(left), decimal(right)) {
                (Some(left), Some(right)) => Ok(Some(left.compare(&right))),
                // 'A-17' is not 17, and that is all that was asked.
                _ if matches!(relation, Relation::Equal | Relation::Unequal) && value.is_string() => Ok(None),
                _ => Err(unfit(value, "a number")),
            }
        }
        (Value::String(left), Value::String(right)) => Ok(Some(left.cmp(right))),
        (left, _) => Err(unfit(left, "a text, a number, true or false")),
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Word(String),
    /// A name in double quotes, which is never a word of the language.
    Name(String),
    Text(String),
    Number(String),
    Relation(Relation),
    Open,
    Close,
    Comma,
}

impl Token {
    fn shown(&self) -> String {
        match self {
            Self::Word(text) | Self::Name(text) | Self::Number(text) => format!("`{text}`"),
            Self::Text(text) => format!("'{text}'"),
            Self::Relation(_) => "the comparison".to_owned(),
            Self::Open => "`(`".to_owned(),
            Self::Close => "`)`".to_owned(),
            Self::Comma => "`,`".to_owned(),
        }
    }
}

fn tokens(text: &str) -> Result<Vec<(usize, Token)>, BadCondition> {
    let characters: Vec<char> = text.chars().collect();
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(&c) = characters.get(at) {
        let start = at;
        let next = characters.get(at + 1).copied();
        at += 1;
        let token = match c {
            c if c.is_whitespace() => continue,
            '(' => Token::Open,
            ')' => Token::Close,
            ',' => Token::Comma,
            '=' => Token::Relation(Relation::Equal),
            '!' | '<' | '>' => {
                let (relation, length) = match (c, next) {
                    ('!', Some('=')) | ('<', Some('>')) => (Relation::Unequal, 2),
                    ('<', Some('=')) => (Relation::LessOrEqual, 2),
                    ('>', Some('=')) => (Relation::GreaterOrEqual, 2),
                    ('<', _) => (Relation::Less, 1),
                    ('>', _) => (Relation::Greater, 1),
                    _ => {
                        return Err(BadCondition {
                            offset: start,
                            problem: "`!` alone means nothing: write not, or !=".to_owned(),
                        });
                    }
                };
                at = start + length;
                Token::Relation(relation)
            }
            '\'' | '"' => {
                let mut inside = String::new();
                loop {
                    match characters.get(at) {
                        Some(&end) if end == c && characters.get(at + 1) == Some(&c) => {
                            inside.push(c);
                            at += 2;
                        }
                        Some(&end) if end == c => break,
                        Some(&other) => {
                            inside.push(other);
                            at += 1;
                        }
                        None => {
                            return Err(BadCondition {
                                offset: start,
                                problem: "the quote is never closed".to_owned(),
                            });
                        }
                    }
                }
                at += 1;
                if c == '\'' { Token::Text(inside) } else { Token::Name(inside) }
            }
            c if c.is_ascii_digit() || c == '-' || c == '+' => {
                at = run(&characters, at, |c| c.is_ascii_alphanumeric() || c == '.');
                let text: String = characters[start..at].iter().collect();
                if Decimal::parse(&text).is_none() {
                    return Err(BadCondition {
                        offset: start,
                        problem: format!("`{text}` is not a number; texts stand in 'single quotes'"),
                    });
                }
                Token::Number(text)
            }
            c if c.is_alphabetic() || c == '_' => {
                at = run(&characters, at, |c| c.is_alphanumeric() || matches!(c, '_' | '.' | '-'));
                Token::Word(characters[start..at].iter().collect())
            }
            other => {
                return Err(BadCondition {
                    offset: start,
                    problem: format!("`{other}` was not expected here"),
                });
            }
        };
        found.push((start, token));
    }
    Ok(found)
}

fn run(characters: &[char], from: usize, belongs: impl Fn(char) -> bool) -> usize {
    from + characters[from..].iter().take_while(|c| belongs(**c)).count()
}

struct Parser {
    tokens: Vec<(usize, Token)>,
    at: usize,
    end: usize,
}

/// The words that can't be fields unless they are quoted.
const WORDS: [&str; 8] = ["and", "or", "not", "in", "is", "null", "true", "false"];

impl Parser {
    fn any(&mut self) -> Result<Test, BadCondition> {
        let mut tests = vec![self.all()?];
        while self.word("or") {
            tests.push(self.all()?);
        }
        Ok(if tests.len() == 1 { tests.remove(0) } else { Test::Any(tests) })
    }

    fn all(&mut self) -> Result<Test, BadCondition> {
        let mut tests = vec![self.one()?];
        while self.word("and") {
            tests.push(self.one()?);
        }
        Ok(if tests.len() == 1 { tests.remove(0) } else { Test::All(tests) })
    }

    fn one(&mut self) -> Result<Test, BadCondition> {
        if self.word("not") {
            return Ok(Test::Not(Box::new(self.one()?)));
        }
        if self.take(&Token::Open) {
            let test = self.any()?;
            self.expect(&Token::Close)?;
            return Ok(test);
        }
        let left = self.operand()?;
        if let Some((_, Token::Relation(relation))) = self.tokens.get(self.at) {
            let relation = *relation;
            self.at += 1;
            return Ok(Test::Compare(left, relation, self.operand()?));
        }
        if self.word("is") {
            let negated = self.word("not");
            if !self.word("null") {
                return Err(self.wrong("`is` is followed by `null` or `not null`"));
            }
            let Operand::Field(field) = left else { return Err(self.wrong("only a field can be null")) };
            let test = Test::Null(field);
            return Ok(if negated { Test::Not(Box::new(test)) } else { test });
        }
        let negated = self.word("not");
        if self.word("in") {
            self.expect(&Token::Open)?;
            let mut list = vec![self.operand()?];
            while self.take(&Token::Comma) {
                list.push(self.operand()?);
            }
            self.expect(&Token::Close)?;
            let test = Test::In(left, list);
            return Ok(if negated { Test::Not(Box::new(test)) } else { test });
        }
        match left {
            Operand::Field(field) if !negated => Ok(Test::Flag(field)),
            _ => Err(self.wrong("a comparison was expected: =, !=, <, <=, >, >=, in (…), is null")),
        }
    }

    fn operand(&mut self) -> Result<Operand, BadCondition> {
        let Some((_, token)) = self.tokens.get(self.at).cloned() else {
            return Err(self.wrong("a field or a value was expected"));
        };
        let operand = match token {
            Token::Name(name) => Operand::Field(name),
            Token::Text(text) => Operand::Value(Value::String(text)),
            Token::Number(text) => {
                let digits = Decimal::parse(&text).map(|number| number.to_string()).unwrap_or_default();
                Operand::Value(serde_json::from_str(&digits).unwrap_or(Value::Null))
            }
            Token::Word(word) => match word.to_ascii_lowercase().as_str() {
                "true" => Operand::Value(Value::Bool(true)),
                "false" => Operand::Value(Value::Bool(false)),
                "null" => Operand::Value(Value::Null),
                known if WORDS.contains(&known) => return Err(self.wrong("a field or a value was expected")),
                _ => Operand::Field(word),
            },
            Token::Relation(_) | Token::Open | Token::Close | Token::Comma => {
                return Err(self.wrong("a field or a value was expected"));
            }
        };
        self.at += 1;
        Ok(operand)
    }

    fn word(&mut self, wanted: &str) -> bool {
        let found = matches!(self.tokens.get(self.at), Some((_, Token::Word(word))) if word.eq_ignore_ascii_case(wanted));
        self.at += usize::from(found);
        found
    }

    fn take(&mut self, wanted: &Token) -> bool {
        let found = self.tokens.get(self.at).is_some_and(|(_, token)| token == wanted);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, wanted: &Token) -> Result<(), BadCondition> {
        if self.take(wanted) { Ok(()) } else { Err(self.wrong(&format!("{} was expected", wanted.shown()))) }
    }

    fn wrong(&self, problem: &str) -> BadCondition {
        let offset = self.tokens.get(self.at).map_or(self.end, |(offset, _)| *offset);
        BadCondition { offset, problem: problem.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> Map<String, Value> {
        let row = r#"{"status":"PAID","total":"99999999999999999999.10","free":3,"b2b":1,"web":"f","gone":null,
            "client":{"country":"PL"},"e-mail":"a@b","order":7,"lines":[]}"#;
        serde_json::from_str(row).unwrap()
    }

    fn said(text: &str) -> String {
        match Condition::new(text).unwrap().holds(&row()) {
            Ok(holds) => holds.to_string(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn conditions_hold_or_not() {
        for (text, holds) in [
            ("status = 'PAID'", true),
            ("status != 'PAID'", false),
            ("status <> 'SENT'", true),
            ("status in ('NEW', 'PAID')", true),
            ("status not in ('NEW', 'PAID')", false),
            ("not status = 'PAID'", false),
            ("b2b and status = 'PAID'", true),
            ("b2b = true and web = false", true),
            ("web or free > 2", true),
            ("web or free > 3", false),
            // `and` binds closer than `or`.
            ("b2b or web and web", true),
            ("(b2b or web) and web", false),
            // Exact, past what a float can tell apart.
            ("total > 99999999999999999999.09", true),
            ("total = 99999999999999999999.1", true),
            ("total < 99999999999999999999.11", true),
            ("free >= 3.0 and free <= 3", true),
            ("free = '3'", true),
            ("free != -3", true),
            ("status = 17", false),
            ("gone is null", true),
            ("gone is not null", false),
            ("gone = null", true),
            ("gone = 'x'", false),
            ("gone != 'x'", true),
            ("gone < 5", false),
            ("nowhere is null", true),
            ("gone", false),
            ("client.country = 'PL'", true),
            ("e-mail = 'a@b'", true),
            ("\"order\" > 6", true),
            ("STATUS IS NULL OR b2b", true),
            ("status = 'it''s'", false),
            ("status > 'AAA' and status < 'ZZZ'", true),
            ("free < total", true),
        ] {
            assert_eq!(said(text), holds.to_string(), "{text}");
        }
    }

    #[test]
    fn what_can_not_be_told_is_no_answer() {
        for (text, error) in [
            ("nowhere = 1", "field `where nowhere = 1`: the row has no `nowhere`"),
            ("status > 5", "field `where status > 5`: PAID is not a number"),
            ("status", "field `where status`: PAID is not true or false"),
            ("lines = 'x'", "field `where lines = 'x'`: [] is not a text, a number, true or false"),
        ] {
            assert_eq!(said(text), error);
        }
    }

    #[test]
    fn mistakes_are_pointed_at() {
        for (text, offset, problem) in [
            ("", 0, "a field or a value was expected"),
            ("status =", 8, "a field or a value was expected"),
            ("status = 'PAID", 9, "the quote is never closed"),
            ("status = 12x", 9, "`12x` is not a number; texts stand in 'single quotes'"),
            ("status == 'A'", 8, "a field or a value was expected"),
            ("b2b && web", 4, "`&` was not expected here"),
            ("b2b web", 4, "`web` was not expected here"),
            ("(b2b", 4, "`)` was expected"),
            ("a in 'x'", 5, "`(` was expected"),
            ("a is 'x'", 5, "`is` is followed by `null` or `not null`"),
            ("'x' is null", 11, "only a field can be null"),
            ("'x'", 3, "a comparison was expected: =, !=, <, <=, >, >=, in (…), is null"),
            ("a ! b", 2, "`!` alone means nothing: write not, or !="),
            ("and b", 0, "a field or a value was expected"),
        ] {
            let expected = BadCondition { offset, problem: problem.to_owned() };
            assert_eq!(Condition::new(text).unwrap_err(), expected, "{text}");
        }
    }

    #[test]
    fn the_fields_are_known() {
        let condition = Condition::new("a = 1 and not (b is null or c in (d, 'x')) and e").unwrap();
        assert_eq!(condition.fields(), ["a", "b", "c", "d", "e"]);
    }
}
