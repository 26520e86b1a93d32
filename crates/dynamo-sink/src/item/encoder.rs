//! The pass over the text: tokens in, DynamoDB JSON out.

use std::borrow::Cow;

use super::{
    COMPOSITE_OVERHEAD, ELEMENT_OVERHEAD, Encoded, Item, ItemError, MAX_ITEM_SIZE, MAX_LEVELS,
    MAX_NAME_SIZE, MAX_STATEMENT_MEMBERS, MemberSpans, Number, Outline, Scalar, Shape,
    number::write_number,
    reader::{JsonString, Reader, escape},
};

pub(super) fn encode(json: &[u8], outline: &Outline<'_>) -> Result<Encoded, ItemError> {
    let mut reader = Reader::new(json)?;
    if reader.peek() != b'{' {
        reader.skip_value()?;
        reader.finish()?;
        return Err(ItemError::NotAnObject);
    }
    let encoder = Encoder {
        reader,
        outline,
        // What is added to a record of many short columns is about half of it.
        json: String::with_capacity(json.len() + json.len() / 2),
        size: 0,
        name_hashes: Vec::with_capacity(64),
        picked: outline.pick.iter().map(|_| None).collect(),
    };
    encoder.encode()
}

struct Encoder<'a, 'o> {
    reader: Reader<'a>,
    outline: &'o Outline<'o>,
    json: String,
    size: usize,
    /// Hashes of the names so far in each object that is open, from the outermost to the innermost.
    name_hashes: Vec<u64>,
    picked: Vec<Option<Scalar>>,
}

/// The path to a value that lies on the path to a picked member; none elsewhere.
type Path<'o> = Option<&'o [&'o str]>;

/// A top-level member.
struct TopMember<'a> {
    at: usize,
    name: Cow<'a, str>,
    /// Where it stands in the item's JSON; none if it is left out.
    spans: Option<MemberSpans>,
}

impl<'a, 'o> Encoder<'a, 'o> {
    fn encode(mut self) -> Result<Encoded, ItemError> {
        let mut members = self.top_level()?;
        self.reader.finish()?;

        members.sort_by(|a, b| a.name.cmp(&b.name));
        if let Some([_, second]) =
            members.array_windows().find(|[first, second]| first.name == second.name)
        {
            return Err(ItemError::DuplicateMember { at: second.at });
        }
        members.retain(|member| member.spans.is_some());
        let names = || members.iter().map(|member| &*member.name);
        let item = Item {
            size: self.size,
            shape: Shape::of_sorted(names()),
            fits_statement: members.len() <= MAX_STATEMENT_MEMBERS && names().all(fits_statement),
            members: members.into_iter().filter_map(|member| member.spans).collect(),
            json: self.json,
        };
        Ok(Encoded { item, picked: self.picked })
    }

    fn top_level(&mut self) -> Result<Vec<TopMember<'a>>, ItemError> {
        let mut members: Vec<TopMember<'a>> = Vec::new();
        self.reader.open();
        while let Some(name_token) = self.reader.next_member(members.is_empty())? {
            let name = self.reader.decode(&name_token)?;
            let spans = if self.outline.omit.contains(&&*name) {
                self.reader.skip_value()?;
                None
            } else {
                Some(self.top_member(&name_token, &name)?)
            };
            members.push(TopMember { at: name_token.at, name, spans });
        }
        Ok(members)
    }

    fn top_member(
        &mut self,
        name_token: &JsonString<'a>,
        name: &str,
    ) -> Result<MemberSpans, ItemError> {
        if let Some(name) = RESERVED_NAMES.into_iter().find(|reserved| *reserved == name) {
            return Err(ItemError::ReservedMember { name });
        }
        if !self.json.is_empty() {
            self.json.push(',');
        }
        let quote = self.json.len();
        self.write_name(name_token, name)?;
        let value_start = self.json.len();
        self.size += name.len();
        self.value(1, self.member_path(Some(&[]), name))?;
        Ok(MemberSpans { name: quote + 1..value_start - 2, value: value_start..self.json.len() })
    }

    /// Writes a value. This and its two callees call each other, at most [`MAX_LEVELS`] deep.
    fn value(&mut self, level: usize, path: Path<'o>) -> Result<(), ItemError> {
        let token = self.reader.peek();
        if level > MAX_LEVELS {
            return Err(ItemError::nested_too_deep(self.reader.at()));
        }
        match token {
            b'"' => {
                let string = self.reader.string()?;
                self.json.push_str("{\"S\":");
                self.json.push_str(string.quoted);
                self.json.push('}');
                self.size += string.decoded_len;
                if path.is_some() {
                    let decoded = self.reader.decode(&string)?;
                    self.report(path, || Scalar::String(decoded.into_owned()));
                }
            }
            b'-' | b'0'..=b'9' => {
                let number = self.reader.number()?;
                self.json.push_str("{\"N\":\"");
                let start = self.json.len();
                self.size += write_number(&number, &mut self.json)?;
                if path.is_some() {
                    let number = Number::from_canonical(&self.json[start..]);
                    self.report(path, || Scalar::Number(number));
                }
                self.json.push_str("\"}");
            }
            b'{' => {
                self.map(level, path)?;
                self.report(path, || Scalar::Object);
            }
            b'[' => {
                self.list(level)?;
                self.report(path, || Scalar::Array);
            }
            b't' => {
                self.reader.literal("true")?;
                self.json.push_str("{\"BOOL\":true}");
                self.size += 1;
                self.report(path, || Scalar::Bool(true));
            }
            b'f' => {
                self.reader.literal("false")?;
                self.json.push_str("{\"BOOL\":false}");
                self.size += 1;
                self.report(path, || Scalar::Bool(false));
            }
            b'n' => {
                self.reader.literal("null")?;
                self.json.push_str("{\"NULL\":true}");
                self.size += 1;
                self.report(path, || Scalar::Null);
            }
            _ => return Err(self.reader.problem("expected a value")),
        }
        // A text that is far too large is not written to its end.
        if self.size > MAX_ITEM_SIZE {
            return Err(ItemError::TooLarge);
        }
        Ok(())
    }

    fn map(&mut self, level: usize, path: Path<'o>) -> Result<(), ItemError> {
        self.json.push_str("{\"M\":{");
        self.size += COMPOSITE_OVERHEAD;
        self.reader.open();
        let start = self.reader.clone();
        let outer_hashes = self.name_hashes.len();
        while let Some(name_token) =
            self.reader.next_member(self.name_hashes.len() == outer_hashes)?
        {
            if self.name_hashes.len() > outer_hashes {
                self.json.push(',');
            }
            let name = self.reader.decode(&name_token)?;
            self.name_hashes.push(hash(&name));
            self.write_name(&name_token, &name)?;
            self.size += name.len() + ELEMENT_OVERHEAD;
            self.value(level + 1, self.member_path(path, &name))?;
        }
        self.json.push_str("}}");

        // Equal names have equal hashes, and sorting those is many times cheaper than sorting the names.
        let hashes = &mut self.name_hashes[outer_hashes..];
        hashes.sort_unstable();
        if hashes.array_windows().any(|[first, second]| first == second) {
            refuse_duplicates(start)?;
        }
        self.name_hashes.truncate(outer_hashes);
        Ok(())
    }

    fn list(&mut self, level: usize) -> Result<(), ItemError> {
        self.json.push_str("{\"L\":[");
        self.size += COMPOSITE_OVERHEAD;
        let mut is_first = true;
        self.reader.open();
        while self.reader.next_element(is_first)? {
            if !is_first {
                self.json.push(',');
            }
            is_first = false;
            self.size += ELEMENT_OVERHEAD;
            self.value(level + 1, None)?;
        }
        self.json.push_str("]}");
        Ok(())
    }

    /// Writes a name and the colon behind it.
    fn write_name(&mut self, name_token: &JsonString<'a>, name: &str) -> Result<(), ItemError> {
        let at = name_token.at;
        match name.len() {
            0 => return Err(ItemError::EmptyMemberName { at }),
            1..=MAX_NAME_SIZE => {}
            _ => return Err(ItemError::NameTooLong { at }),
        }
        if name_token.has_escapes() {
            self.json.push('"');
            escape(name, |part| self.json.push_str(part));
            self.json.push('"');
        } else {
            self.json.push_str(name_token.quoted);
        }
        self.json.push(':');
        Ok(())
    }

    /// The path of the member `name` of the object at `path`.
    fn member_path(&self, path: Path<'o>, name: &str) -> Path<'o> {
        let path = path?;
        let is_next =
            |pick: &&&'o [&'o str]| pick.get(path.len()) == Some(&name) && pick.starts_with(path);
        let pick = self.outline.pick.iter().find(is_next)?;
        Some(&pick[..=path.len()])
    }

    /// Notes the value at `path` for each pick that asks for it.
    fn report(&mut self, path: Path<'o>, scalar: impl FnOnce() -> Scalar) {
        let Some(path) = path else { return };
        let scalar = scalar();
        for (pick, picked) in self.outline.pick.iter().zip(&mut self.picked) {
            if *pick == path {
                *picked = Some(scalar.clone());
            }
        }
    }
}

/// Makes sure that the object whose members begin at `reader` has no two of the same name.
#[cold]
fn refuse_duplicates(mut reader: Reader<'_>) -> Result<(), ItemError> {
    let mut names: Vec<(Cow<'_, str>, usize)> = Vec::new();
    while let Some(token) = reader.next_member(names.is_empty())? {
        names.push((reader.decode(&token)?, token.at));
        reader.skip_value()?;
    }
    names.sort();
    match names.array_windows().find(|[first, second]| first.0 == second.0) {
        Some(&[_, (_, at)]) => Err(ItemError::DuplicateMember { at }),
        None => Ok(()),
    }
}

fn fits_statement(name: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    name.bytes().all(is_word) && !name.starts_with(|first: char| first.is_ascii_digit())
}

/// A quick hash. Whoever finds names with equal hashes gains a sort of the names.
fn hash(name: &str) -> u64 {
    let (words, rest) = name.as_bytes().as_chunks();
    // The last word overlaps the one before it. A short name is a word by itself.
    let last_word = match name.as_bytes().last_chunk() {
        Some(word) => u64::from_le_bytes(*word),
        None => rest.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    };
    let seed = name.len() as u64;
    mix(words.iter().fold(seed, |hash, word| mix(hash, u64::from_le_bytes(*word))), last_word)
}

fn mix(hash: u64, word: u64) -> u64 {
    (hash.rotate_left(5) ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// The names that the sink gives to attributes of its own.
const RESERVED_NAMES: [&str; 3] = ["PK", "SK", "_sink"];

#[cfg(test)]
mod tests {
    use super::*;

    /// Two names of three words, the same in the last one, whose hashes are equal.
    fn colliding_names() -> (String, String) {
        let word = |text: &str| u64::from_le_bytes(text.as_bytes().try_into().unwrap());
        let (first, second, third) = ("NAMENAME", "abcdefgh", "the same");
        let after = |first: &str| mix(24, word(first)).rotate_left(5);
        for n in 0..u64::MAX {
            let other_first = format!("{n:08}");
            let other_second = word(second) ^ after(first) ^ after(&other_first);
            let other_second = other_second.to_le_bytes();
            if other_second.iter().all(u8::is_ascii_alphanumeric) {
                let other_second = str::from_utf8(&other_second).unwrap();
                return (
                    format!("{first}{second}{third}"),
                    format!("{other_first}{other_second}{third}"),
                );
            }
        }
        unreachable!("some eight digits lead to letters and digits");
    }

    #[test]
    fn names_of_equal_hashes_are_told_apart() {
        let (one, other) = colliding_names();
        assert_eq!(hash(&one), hash(&other));
        let json = format!(r#"{{"m":{{"{one}":1,"x":{{}},"{other}":2}}}}"#);
        assert!(encode(json.as_bytes(), &Outline::default()).is_ok());
        let json = format!(r#"{{"m":{{"{one}":1,"{other}":2,"{one}":3}}}}"#);
        let duplicate = ItemError::DuplicateMember { at: json.rfind(&one).unwrap() - 1 };
        assert_eq!(encode(json.as_bytes(), &Outline::default()).unwrap_err(), duplicate);
    }
}
