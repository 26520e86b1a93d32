//! `CloudWatch`'s metric math, as far as the template's alarms need it.

use std::collections::BTreeMap;

/// What is wrong with an expression.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the expression `{expression}` can't be read from `{rest}` on")]
pub struct MathError {
    /// The expression.
    pub expression: String,
    /// What was not understood.
    pub rest: String,
}

/// An expression over metrics.
#[derive(Clone, Debug, PartialEq)]
pub enum Expression {
    /// A number.
    Number(f64),
    /// A metric, by its id.
    Metric(String),
    /// Two values and what stands between them.
    Binary(Operator, Box<[Self; 2]>),
    /// `IF`: the second value where the first is not 0, else the third.
    If(Box<[Self; 3]>),
    /// `DIFF`: how much more it is than a period before.
    Diff(Box<Self>),
}

/// What stands between two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are what they are called")]
pub enum Operator {
    Plus,
    Minus,
    Times,
    Over,
    Above,
    Below,
}

impl Expression {
    /// Reads an expression.
    pub fn parse(text: &str) -> Result<Self, MathError> {
        let mut parser = Parser { rest: text };
        let error = |parser: &Parser<'_>| MathError {
            expression: text.to_owned(),
            rest: parser.rest.trim_start().to_owned(),
        };
        let expression = parser.comparison().ok_or_else(|| error(&parser))?;
        if parser.rest.trim().is_empty() { Ok(expression) } else { Err(error(&parser)) }
    }

    /// Its value in a period, from the metrics' values by the period; `None` where one is missing.
    pub fn value(
        &self,
        metrics: &BTreeMap<String, Vec<Option<f64>>>,
        period: usize,
    ) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Metric(id) => metrics.get(id)?.get(period).copied().flatten(),
            Self::Binary(operator, sides) => {
                let [left, right] = sides.each_ref().map(|side| side.value(metrics, period));
                let (left, right) = (left?, right?);
                Some(match operator {
                    Operator::Plus => left + right,
                    Operator::Minus => left - right,
                    Operator::Times => left * right,
                    Operator::Over => left / right,
                    Operator::Above => f64::from(left > right),
                    Operator::Below => f64::from(left < right),
                })
            }
            Self::If(parts) => {
                let [condition, then, otherwise] = &**parts;
                // Only an exact 0 is false.
                let holds = condition.value(metrics, period)?.abs() > 0.0;
                if holds { then } else { otherwise }.value(metrics, period)
            }
            Self::Diff(of) => {
                let before = of.value(metrics, period.checked_sub(1)?)?;
                Some(of.value(metrics, period)? - before)
            }
        }
    }
}

struct Parser<'t> {
    rest: &'t str,
}

impl Parser<'_> {
    fn comparison(&mut self) -> Option<Expression> {
        self.chain(&[('>', Operator::Above), ('<', Operator::Below)], Self::sum)
    }

    fn sum(&mut self) -> Option<Expression> {
        self.chain(&[('+', Operator::Plus), ('-', Operator::Minus)], Self::product)
    }

    fn product(&mut self) -> Option<Expression> {
        self.chain(&[('*', Operator::Times), ('/', Operator::Over)], Self::operand)
    }

    /// Operands of the next level with these operators between, from the left.
    fn chain(
        &mut self,
        operators: &[(char, Operator)],
        next: fn(&mut Self) -> Option<Expression>,
    ) -> Option<Expression> {
        let mut left = next(self)?;
        while let Some(&(_, operator)) = operators.iter().find(|(sign, _)| self.take(*sign)) {
            left = Expression::Binary(operator, Box::new([left, next(self)?]));
        }
        Some(left)
    }

    fn operand(&mut self) -> Option<Expression> {
        if self.take('(') {
            let inner = self.comparison()?;
            return self.take(')').then_some(inner);
        }
        let text = self.rest.trim_start();
        let is_of_word = |it: char| it.is_ascii_alphanumeric() || matches!(it, '_' | '.');
        let (word, rest) = text.split_at(text.find(|it| !is_of_word(it)).unwrap_or(text.len()));
        if word.is_empty() {
            return None;
        }
        if let Ok(number) = word.parse() {
            self.rest = rest;
            return Some(Expression::Number(number));
        }
        match word {
            "IF" | "DIFF" => {
                let mut inner = Parser { rest };
                let expression = if word == "IF" { inner.condition() } else { inner.difference() }?;
                self.rest = inner.rest;
                Some(expression)
            }
            // A function that no alarm has needed so far.
            _ if rest.trim_start().starts_with('(') => None,
            _ => {
                self.rest = rest;
                Some(Expression::Metric(word.to_owned()))
            }
        }
    }

    fn condition(&mut self) -> Option<Expression> {
        self.take('(').then_some(())?;
        let condition = self.comparison()?;
        self.take(',').then_some(())?;
        let then = self.comparison()?;
        self.take(',').then_some(())?;
        let otherwise = self.comparison()?;
        self.take(')').then(|| Expression::If(Box::new([condition, then, otherwise])))
    }

    fn difference(&mut self) -> Option<Expression> {
        self.take('(').then_some(())?;
        let of = self.comparison()?;
        self.take(')').then(|| Expression::Diff(Box::new(of)))
    }

    fn take(&mut self, sign: char) -> bool {
        let rest = self.rest.trim_start().strip_prefix(sign);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_have_a_value_by_the_period() {
        #[track_caller]
        fn check(text: &str, expected: [Option<f64>; 3]) {
            let metrics = BTreeMap::from([
                ("a".to_owned(), vec![Some(1.0), Some(3.0), Some(2.0)]),
                ("b2".to_owned(), vec![Some(0.0), None, Some(4.0)]),
            ]);
            let expression = Expression::parse(text).unwrap();
            assert_eq!([0, 1, 2].map(|period| expression.value(&metrics, period)), expected);
        }

        check("a", [Some(1.0), Some(3.0), Some(2.0)]);
        check("1 + 2 * 3 - 4 / 2", [Some(5.0); 3]);
        check("(1 + 2) * 3", [Some(9.0); 3]);
        check("8 / 2 / 2 - 1 - 1", [Some(0.0); 3]);
        check("100 * a / (50 * 10)", [Some(0.2), Some(0.6), Some(0.4)]);
        check("a + b2", [Some(1.0), None, Some(6.0)]);
        check("a > 1", [Some(0.0), Some(1.0), Some(1.0)]);
        check("a<2.5", [Some(1.0), Some(0.0), Some(1.0)]);
        check("DIFF(a)", [None, Some(2.0), Some(-1.0)]);
        check("IF(DIFF(a) > 0, 1, 0)", [None, Some(1.0), Some(0.0)]);
        check("IF(b2 > 0, 100 * a / b2, 0)", [Some(0.0), None, Some(50.0)]);
        check("c", [None; 3]);
    }

    #[test]
    fn what_is_not_understood_is_named() {
        #[track_caller]
        fn check(text: &str, rest: &str) {
            let expected = MathError { expression: text.to_owned(), rest: rest.to_owned() };
            assert_eq!(Expression::parse(text), Err(expected));
        }

        check("", "");
        check("a b", "b");
        check("a +", "");
        check("(a", "");
        check("ANOMALY_DETECTION_BAND(a)", "ANOMALY_DETECTION_BAND(a)");
        check("IF(a, 1)", "IF(a, 1)");
        check("a == 1", "== 1");
    }
}
