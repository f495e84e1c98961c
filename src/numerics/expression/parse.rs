//! From text to expressions, with the place of what is wrong.

use super::{Arena, Function, Id, MOST_NODES, Meaning};
use crate::error::Invalid;

/// Characters of a text at most.
const LONGEST: usize = 4096;
/// How deep brackets, signs and powers may be nested.
const DEEPEST: usize = 100;

/// What is wrong with a text, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    /// The character at which it was noticed, from 1.
    pub character: usize,
    /// What was found there.
    pub found: String,
    /// What is legal.
    pub legal: String,
}

impl Malformed {
    /// As a finding at a path.
    #[must_use]
    pub fn at(self, path: impl Into<String>) -> Invalid {
        Invalid::new(path, format!("character {}: found {}", self.character, self.found), self.legal)
    }
}

/// Functions of one argument, by name.
const FUNCTIONS: [(&str, Function); 15] = [
    ("exp", Function::Exp),
    ("ln", Function::Ln),
    ("sqrt", Function::Sqrt),
    ("sin", Function::Sin),
    ("cos", Function::Cos),
    ("sinh", Function::Sinh),
    ("cosh", Function::Cosh),
    ("tanh", Function::Tanh),
    ("atan", Function::Atan),
    ("logistic", Function::Logistic),
    ("softplus", Function::Softplus),
    ("abs", Function::Abs),
    ("sign", Function::Sign),
    ("step", Function::Step),
    ("conj", Function::Conj),
];

/// The other functions: their names and numbers of arguments.
const OTHERS: [(&str, usize); 4] = [("relu", 1), ("tan", 1), ("max", 2), ("min", 2)];

/// Names that mean the same in every expression.
const CONSTANTS: [(&str, f64); 2] = [("pi", std::f64::consts::PI), ("e", std::f64::consts::E)];

/// Whether a name is one of a function or a constant.
pub(crate) fn is_taken(name: &str) -> bool {
    FUNCTIONS.iter().any(|(own, _)| *own == name)
        || OTHERS.iter().any(|(own, _)| *own == name)
        || CONSTANTS.iter().any(|(own, _)| *own == name)
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Token<'a> {
    Number(f64),
    Name(&'a str),
    Symbol(&'a str),
    End,
}

impl Token<'_> {
    fn told(self) -> String {
        match self {
            Self::Number(x) => format!("{x}"),
            Self::Name(name) => format!("`{}`", name.chars().take(40).collect::<String>()),
            Self::Symbol(symbol) => format!("`{symbol}`"),
            Self::End => "the end".into(),
        }
    }
}

struct Parser<'a, 'b> {
    arena: &'b mut Arena,
    names: &'b [(&'b str, Meaning)],
    text: &'a str,
    /// Where the token begins, and where the text goes on behind it.
    place: usize,
    next: usize,
    token: Token<'a>,
    depth: usize,
}

/// Parses a whole text.
pub(super) fn parse(arena: &mut Arena, text: &str, names: &[(&str, Meaning)]) -> Result<Id, Malformed> {
    if text.len() > LONGEST {
        let found = format!("a text of {} characters", text.len());
        let legal = format!("at most {LONGEST}");
        return Err(Malformed { character: LONGEST + 1, found, legal });
    }
    let mut parser = Parser { arena, names, text, place: 0, next: 0, token: Token::End, depth: 0 };
    parser.advance()?;
    let parsed = parser.comparison()?;
    match parser.token {
        Token::End => Ok(parsed),
        token => Err(parser.refuse(token.told(), "an operator, or the end")),
    }
}

impl<'a> Parser<'a, '_> {
    fn refuse(&self, found: impl Into<String>, legal: impl Into<String>) -> Malformed {
        let character = self.text[..self.place].chars().count() + 1;
        Malformed { character, found: found.into(), legal: legal.into() }
    }

    fn advance(&mut self) -> Result<(), Malformed> {
        let rest = &self.text[self.next..];
        let blank = rest.len() - rest.trim_start().len();
        self.place = self.next + blank;
        let rest = &self.text[self.place..];
        let Some(first) = rest.chars().next() else {
            (self.token, self.next) = (Token::End, self.place);
            return Ok(());
        };
        let length = if first.is_ascii_digit() || first == '.' {
            let length = number_length(rest);
            let number = rest[..length].parse::<f64>().ok().filter(|x| x.is_finite());
            let number = number.ok_or_else(|| {
                let shown: String = rest[..length].chars().take(40).collect();
                self.refuse(format!("`{shown}`"), "a finite number, as 2, 0.5 or 1e-3")
            })?;
            self.token = Token::Number(number);
            length
        } else if first.is_ascii_alphabetic() || first == '_' {
            let word = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
            let length = rest.find(word).unwrap_or(rest.len());
            self.token = Token::Name(&rest[..length]);
            length
        } else {
            let symbols = ["<=", ">=", "**", "+", "-", "*", "/", "^", "(", ")", ",", "<", ">"];
            let Some(symbol) = symbols.iter().find(|symbol| rest.starts_with(**symbol)) else {
                let legal = "numbers, names, + - * / ^ < > and round brackets";
                return Err(self.refuse(format!("{first:?}"), legal));
            };
            self.token = Token::Symbol(&rest[..symbol.len()]);
            symbol.len()
        };
        self.next = self.place + length;
        Ok(())
    }

    fn takes(&mut self, symbol: &str) -> Result<bool, Malformed> {
        let is_it = self.token == Token::Symbol(symbol);
        if is_it {
            self.advance()?;
        }
        Ok(is_it)
    }

    fn expect(&mut self, symbol: &str) -> Result<(), Malformed> {
        if self.takes(symbol)? {
            return Ok(());
        }
        Err(self.refuse(self.token.told(), format!("`{symbol}`")))
    }

    fn deeper<R>(&mut self, inner: impl FnOnce(&mut Self) -> Result<R, Malformed>) -> Result<R, Malformed> {
        if self.depth == DEEPEST {
            let legal = format!("at most {DEEPEST} levels of brackets, signs and powers");
            return Err(self.refuse("a deeper level", legal));
        }
        if self.arena.len() > MOST_NODES {
            return Err(self.refuse("more parts", format!("at most {MOST_NODES}")));
        }
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }

    /// A sum, or the comparison of two: 1 where it holds, 0 where not.
    fn comparison(&mut self) -> Result<Id, Malformed> {
        let left = self.sum()?;
        let Token::Symbol(symbol @ ("<" | ">" | "<=" | ">=")) = self.token else { return Ok(left) };
        self.advance()?;
        let right = self.sum()?;
        let strict = |arena: &mut Arena, a: Id, b: Id| {
            let ahead = arena.subtract(a, b);
            arena.call(Function::Step, ahead)
        };
        Ok(match symbol {
            ">" => strict(self.arena, left, right),
            "<" => strict(self.arena, right, left),
            _ => {
                // a ≥ b where not b > a.
                let other = if symbol == ">=" { (right, left) } else { (left, right) };
                let fails = strict(self.arena, other.0, other.1);
                let one = self.arena.number(1.0);
                self.arena.subtract(one, fails)
            }
        })
    }

    fn sum(&mut self) -> Result<Id, Malformed> {
        let mut left = self.product()?;
        loop {
            if self.takes("+")? {
                let right = self.product()?;
                left = self.arena.add(left, right);
            } else if self.takes("-")? {
                let right = self.product()?;
                left = self.arena.subtract(left, right);
            } else {
                return Ok(left);
            }
        }
    }

    fn product(&mut self) -> Result<Id, Malformed> {
        let mut left = self.signed()?;
        loop {
            if self.takes("*")? {
                let right = self.signed()?;
                left = self.arena.multiply(left, right);
            } else if self.takes("/")? {
                let place = self.place;
                let right = self.signed()?;
                if self.arena.value(right) == Some(0.0) {
                    self.place = place;
                    return Err(self.refuse("a division by zero", "another divisor"));
                }
                left = self.arena.divide(left, right);
            } else {
                return Ok(left);
            }
        }
    }

    fn signed(&mut self) -> Result<Id, Malformed> {
        if self.takes("-")? {
            let inner = self.deeper(Self::signed)?;
            return Ok(self.arena.negate(inner));
        }
        if self.takes("+")? {
            return self.deeper(Self::signed);
        }
        let base = self.atom()?;
        if self.token != Token::Symbol("^") && self.token != Token::Symbol("**") {
            return Ok(base);
        }
        self.advance()?;
        let exponent = self.deeper(Self::signed)?;
        Ok(self.raise(base, exponent))
    }

    /// A whole number makes products; any other exponent is e^{b ln a}.
    fn raise(&mut self, base: Id, exponent: Id) -> Id {
        match self.arena.value(exponent) {
            Some(n) if n.fract() == 0.0 && n.abs() <= 64.0 => self.arena.power(base, n as i32),
            Some(0.5) => self.arena.call(Function::Sqrt, base),
            _ => {
                let ln = self.arena.call(Function::Ln, base);
                let product = self.arena.multiply(exponent, ln);
                self.arena.call(Function::Exp, product)
            }
        }
    }

    fn atom(&mut self) -> Result<Id, Malformed> {
        match self.token {
            Token::Number(x) => {
                self.advance()?;
                Ok(self.arena.number(x))
            }
            Token::Symbol("(") => {
                self.advance()?;
                let inner = self.deeper(Self::comparison)?;
                self.expect(")")?;
                Ok(inner)
            }
            Token::Name(name) => self.named(name),
            token => Err(self.refuse(token.told(), "a number, a name, or a bracket")),
        }
    }

    fn named(&mut self, name: &'a str) -> Result<Id, Malformed> {
        let place = self.place;
        let meaning = self.names.iter().find(|(own, _)| *own == name).map(|(_, meaning)| *meaning);
        let constant = CONSTANTS.iter().find(|(own, _)| *own == name);
        let meaning = meaning.or(constant.map(|(_, x)| Meaning::Number(*x)));
        if let Some(meaning) = meaning {
            self.advance()?;
            if self.token == Token::Symbol("(") {
                return Err(
                    self.refuse(format!("a bracket behind `{name}`"), "an operator: it is no function")
                );
            }
            return Ok(match meaning {
                Meaning::Variable(place) => self.arena.variable(place),
                Meaning::Number(x) => self.arena.number(x),
            });
        }
        let one = FUNCTIONS.iter().find(|(own, _)| *own == name).map(|(_, function)| *function);
        let count =
            if one.is_some() { Some(1) } else { OTHERS.iter().find(|(own, _)| *own == name).map(|o| o.1) };
        let Some(count) = count else {
            let variables = self.names.iter().map(|(name, _)| *name);
            let functions = FUNCTIONS.iter().map(|f| f.0).chain(OTHERS.iter().map(|f| f.0));
            let all: Vec<&str> = variables.chain(functions).chain(["pi", "e"]).collect();
            let shown: String = name.chars().take(40).collect();
            return Err(self.refuse(format!("`{shown}`"), format!("one of {}", all.join(", "))));
        };
        self.advance()?;
        self.expect("(")?;
        let mut arguments = vec![self.deeper(Self::comparison)?];
        while self.takes(",")? {
            arguments.push(self.deeper(Self::comparison)?);
        }
        if arguments.len() != count {
            let found = format!("{} arguments", arguments.len());
            self.place = place;
            return Err(self.refuse(found, format!("{count} of `{name}`")));
        }
        self.expect(")")?;
        Ok(match (one, name, &arguments[..]) {
            (Some(function), _, [a]) => self.arena.call(function, *a),
            (_, "relu", [a]) => {
                let zero = self.arena.number(0.0);
                self.arena.maximum(*a, zero)
            }
            (_, "tan", [a]) => {
                let (sin, cos) = (self.arena.call(Function::Sin, *a), self.arena.call(Function::Cos, *a));
                self.arena.divide(sin, cos)
            }
            (_, "min", [a, b]) => {
                let (a, b) = (self.arena.negate(*a), self.arena.negate(*b));
                let above = self.arena.maximum(a, b);
                self.arena.negate(above)
            }
            (_, _, arguments) => self.arena.maximum(arguments[0], arguments[arguments.len() - 1]),
        })
    }
}

/// How many characters of a text are a number.
fn number_length(text: &str) -> usize {
    let digits = |from: usize| text[from..].bytes().take_while(u8::is_ascii_digit).count();
    let mut end = digits(0);
    if text[end..].starts_with('.') {
        end += 1;
        end += digits(end);
    }
    if text[end..].starts_with(['e', 'E']) {
        let sign = usize::from(text[end + 1..].starts_with(['+', '-']));
        let power = digits(end + 1 + sign);
        if power > 0 {
            end += 1 + sign + power;
        }
    }
    end
}
