//! Tables of fields, made of the JSON Schema that the program prints.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::pages::Place;
use crate::cli::valid;

/// What makes the tables of one page.
pub struct Tables<'a> {
    schema: &'a Value,
    places: &'a BTreeMap<String, Place>,
    page: &'a str,
    /// Definitions that no page shows, written out where they are used.
    pub written: BTreeSet<String>,
}

/// A line of a table.
struct Row {
    /// The choice that it is, or that has the field.
    choice: String,
    field: String,
    values: String,
    default: String,
    meaning: String,
}

/// Whether a definition is that of a kind of experiment, as `FrequencyOptimum` of `frequency_optimum`.
pub fn is_of_kind(definition: &str, kind: &str) -> bool {
    definition.to_lowercase() == kind.replace('_', "")
}

impl<'a> Tables<'a> {
    pub fn new(schema: &'a Value, places: &'a BTreeMap<String, Place>, page: &'a str) -> Self {
        Self { schema, places, page, written: BTreeSet::new() }
    }

    /// What a definition or a kind is for, and its table.
    pub fn section(&mut self, name: &str) -> String {
        let shown = self.shown(name);
        let rows = match self.object(shown) {
            Some(object) => self.rows("", object),
            None => self.choices(shown),
        };
        // What a kind is for, its page says at length.
        let is_definition = self.schema["$defs"].get(name).is_some();
        let purpose = object_of(shown).unwrap_or(shown)["description"].as_str().filter(|_| is_definition);
        let parts = purpose.into_iter().flat_map(|purpose| purpose.split("\n\n"));
        parts.map(|part| one_line(part) + "\n\n").collect::<String>() + &table(&rows)
    }

    /// The schema of a kind, or of a definition.
    fn shown(&self, name: &str) -> &'a Value {
        let branches = self.schema["then"]["allOf"].as_array().unwrap();
        let kind = branches.iter().find(|branch| branch["if"]["properties"]["kind"]["const"] == name);
        let shown = kind.map_or(&self.schema["$defs"][name], |branch| &branch["then"]);
        assert!(shown.is_object(), "docs/{}: the schema has no `{name}`", self.page);
        shown
    }

    /// The object whose fields a schema is about, if it is no choice between several.
    fn object(&self, schema: &'a Value) -> Option<&'a Value> {
        object_of(self.resolved(schema))
    }

    /// What a reference stands for, also beside null.
    fn resolved(&self, schema: &'a Value) -> &'a Value {
        let other = alternatives(schema).find(|s| !is_null(s)).filter(|_| is_nullable(schema));
        reference(other.unwrap_or(schema)).map_or(schema, |name| &self.schema["$defs"][name])
    }

    fn rows(&mut self, prefix: &str, object: &'a Value) -> Vec<Row> {
        let mut rows = Vec::new();
        for (name, field) in fields(object) {
            if matches!(name.as_str(), "kind" | "$schema") {
                continue;
            }
            let path = format!("{prefix}{name}");
            let mut meaning = one_line(field["description"].as_str().unwrap_or_default());
            for (choice, what) in self.spelt_out(field) {
                meaning += &format!(" `{choice}`: {what}");
            }
            let required = object["required"].as_array().is_some_and(|r| r.iter().any(|r| r == name));
            let default = if required { "**required**".to_owned() } else { self.default(field) };
            let values = self.values(field);
            rows.push(Row { choice: String::new(), field: format!("`{path}`"), values, default, meaning });
            rows.append(&mut self.below(&path, field));
        }
        rows
    }

    /// The fields of what stands in a field and has no place of its own.
    fn below(&mut self, path: &str, field: &'a Value) -> Vec<Row> {
        if self.named(field).is_some() {
            return Vec::new();
        }
        if let Some(object) = self.object(field) {
            return self.rows(&format!("{path}."), object);
        }
        let variants =
            alternatives(self.resolved(field)).filter_map(|variant| tag(variant).map(|t| (variant, t)));
        let rows = variants.flat_map(|(variant, (name, inner))| {
            if name == "kind" || self.named(inner).is_some() {
                return Vec::new();
            }
            let inner = self.resolved(inner);
            let is_field = inner.get("properties").is_none();
            if is_field {
                self.rows(&format!("{path}."), variant)
            } else {
                self.rows(&format!("{path}.{name}."), inner)
            }
        });
        rows.collect()
    }

    /// Choices without a place of their own, with what each means.
    fn spelt_out(&self, field: &'a Value) -> Vec<(&'a str, String)> {
        if self.named(field).is_some() {
            return Vec::new();
        }
        let choices = alternatives(self.resolved(field)).filter_map(|variant| {
            let name = variant["const"].as_str().or_else(|| tag(variant).map(|(name, _)| name))?;
            let legal = field["enum"].as_array().is_none_or(|legal| legal.iter().any(|value| value == name));
            if !legal || name == "kind" {
                return None;
            }
            let what = one_line(variant["description"].as_str()?);
            Some((name, what))
        });
        choices.collect()
    }

    fn choices(&mut self, schema: &'a Value) -> Vec<Row> {
        let mut rows = Vec::new();
        for variant in alternatives(schema) {
            let meaning = one_line(variant["description"].as_str().unwrap_or_default());
            let row = |choice| Row {
                choice,
                field: String::new(),
                values: String::new(),
                default: String::new(),
                meaning: meaning.clone(),
            };
            if let Some((name, inner)) = tag(variant) {
                let link = self.named(inner).map(|place| self.link(place, &format!("`{name}`")));
                rows.push(row(link.clone().unwrap_or_else(|| format!("`{name}`"))));
                if link.is_none() {
                    self.note(inner);
                    let inner = self.resolved(inner);
                    rows.append(&mut self.rows("", inner));
                }
            } else if let Some(name) = variant["const"].as_str() {
                rows.push(row(format!("`{name}`")));
            }
        }
        rows
    }

    /// Where what a schema refers to is shown.
    fn named(&self, schema: &'a Value) -> Option<&'a Place> {
        let other = alternatives(schema).find(|s| !is_null(s)).filter(|_| is_nullable(schema));
        self.place(reference(other.unwrap_or(schema))?)
    }

    fn place(&self, definition: &str) -> Option<&'a Place> {
        self.places
            .iter()
            .find(|(name, _)| *name == definition || is_of_kind(definition, name))
            .map(|(_, p)| p)
    }

    /// A link from this page.
    fn link(&self, place: &Place, words: &str) -> String {
        let page = match self.page.rsplit_once('/') {
            _ if place.page == self.page && !place.anchor.is_empty() => "",
            Some((folder, _)) => place.page.strip_prefix(&format!("{folder}/")).unwrap(),
            None => &place.page,
        };
        let hash = if place.anchor.is_empty() { "" } else { "#" };
        format!("[{words}]({page}{hash}{})", place.anchor)
    }

    /// Remembers that a definition is written out here.
    fn note(&mut self, schema: &Value) {
        self.written.extend(reference(schema).map(str::to_owned));
    }

    /// As [`Self::note`] of what stands beside null.
    fn note_all(&mut self, schema: &Value) {
        self.note(schema);
        alternatives(schema).for_each(|variant| self.note(variant));
    }

    /// The legal values.
    fn values(&mut self, schema: &'a Value) -> String {
        if let Some(name) = reference(schema).filter(|_| schema.get("enum").is_none()) {
            return match self.place(name) {
                Some(place) => self.link(place, &lower(&place.heading)),
                None => {
                    self.note(schema);
                    self.values(&self.schema["$defs"][name])
                }
            };
        }
        if schema == &json!(true) {
            return "any JSON".to_owned();
        }
        if let Some(value) = schema.get("const") {
            return format!("`{value}`");
        }
        if let Some(legal) = schema["enum"].as_array() {
            self.note_all(schema);
            return either(&legal.iter().map(code).collect::<Vec<_>>());
        }
        let variants: Vec<&Value> = alternatives(schema).collect();
        if !variants.is_empty() {
            let mut each: Vec<String> = Vec::new();
            for variant in variants {
                let values = match tag(variant) {
                    Some(("kind", _)) => continue,
                    Some((name, _)) => format!("`{{\"{name}\": …}}`"),
                    None => self.values(variant),
                };
                if !each.contains(&values) {
                    each.push(values);
                }
            }
            return either(&each);
        }
        let types: Vec<&str> = match &schema["type"] {
            Value::Array(types) => types.iter().filter_map(Value::as_str).collect(),
            one => one.as_str().into_iter().collect(),
        };
        let each: Vec<String> = types.iter().map(|name| self.of_type(name, schema)).collect();
        either(&each)
    }

    fn of_type(&mut self, name: &str, schema: &'a Value) -> String {
        match name {
            "null" => "null".to_owned(),
            "boolean" => "true or false".to_owned(),
            "string" => "text".to_owned(),
            "number" | "integer" => format!("{name}{}", bounds(schema)),
            "array" => {
                let fixed = schema["maxItems"].as_u64().filter(|n| schema["minItems"] == *n);
                let count = fixed.map_or(String::new(), |n| format!("{n} "));
                format!("list of {count}{}", plural(&self.values(&schema["items"])))
            }
            "object" => match schema.get("additionalProperties").filter(|s| s.is_object()) {
                Some(each) => format!("object, name → {}", self.values(each)),
                None => "object".to_owned(),
            },
            other => panic!("the schema has the type `{other}`, which this test does not know"),
        }
    }

    fn default(&self, field: &'a Value) -> String {
        match field.get("default") {
            None => "none".to_owned(),
            Some(value) if value == &json!({}) || value == &json!("") => "empty".to_owned(),
            Some(value) => match self.shortened(value, field) {
                Value::Object(all) if all.is_empty() => "its defaults".to_owned(),
                short => format!("`{}`", spaced(&short)),
            },
        }
    }

    /// A default value without what is default in it.
    fn shortened(&self, value: &Value, schema: &'a Value) -> Value {
        let Value::Object(entries) = value else { return whole_numbers(value) };
        let resolved = self.resolved(schema);
        if let Some(object) = object_of(resolved).or(resolved.get("properties").map(|_| resolved)) {
            let differs =
                |name: &str, value: &Value| object["properties"][name].get("default") != Some(value);
            let kept = entries.iter().filter(|(name, value)| differs(name, value));
            return Value::Object(kept.map(|(name, value)| (name.clone(), whole_numbers(value))).collect());
        }
        let Some((name, inner)) = entries.iter().next() else { return value.clone() };
        let tags = alternatives(resolved).filter_map(tag);
        let Some((_, schema)) = tags.into_iter().find(|(tag, _)| tag == name) else { return value.clone() };
        match self.shortened(inner, schema) {
            Value::Object(all) if all.is_empty() => json!(name),
            short => json!({ name: short }),
        }
    }
}

/// Numbers that a schema forbids in the place of those of a value that it allows: the bounded field, the path in the value, the
/// number.
pub fn forbidden(
    root: &Value,
    schema: &Value,
    value: &Value,
    path: &str,
    found: &mut Vec<(String, String, Value)>,
) {
    if let Some(name) = reference(schema) {
        forbidden(root, &root["$defs"][name], value, path, found);
    }
    if schema.get("if").is_some() {
        let branch = if valid(root, &schema["if"], value) { "then" } else { "else" };
        forbidden(root, schema.get(branch).unwrap_or(&Value::Null), value, path, found);
    }
    for rule in ["anyOf", "oneOf", "allOf"] {
        for part in schema[rule].as_array().into_iter().flatten().filter(|part| valid(root, part, value)) {
            forbidden(root, part, value, path, found);
        }
    }
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match value {
        Value::Object(entries) => {
            for (name, value) in entries {
                let field = schema["properties"].get(name).or(schema.get("additionalProperties"));
                field.into_iter().for_each(|field| forbidden(root, field, value, &below(name), found));
            }
        }
        Value::Array(items) => {
            for (i, value) in items.iter().enumerate().take(1) {
                forbidden(root, &schema["items"], value, &below(&i.to_string()), found);
            }
        }
        Value::Number(_) => {
            let place = format!("{} {}", path.rsplit('.').next().unwrap(), schema["description"]);
            let beyond = |x: f64, step: f64| {
                let whole = schema["type"] == "integer" || schema["type"][0] == "integer";
                if whole { json!((x + step) as i64) } else { json!(x + step * 1e-3 * x.abs().max(1.0)) }
            };
            let mut add = |number: Value| found.push((place.clone(), path.to_owned(), number));
            schema["minimum"].as_f64().into_iter().for_each(|x| add(beyond(x, -1.0)));
            schema["maximum"].as_f64().into_iter().for_each(|x| add(beyond(x, 1.0)));
            schema["exclusiveMinimum"].as_f64().into_iter().for_each(|x| add(json!(x)));
            schema["exclusiveMaximum"].as_f64().into_iter().for_each(|x| add(json!(x)));
        }
        _ => {}
    }
}

/// The one object among what a schema allows, other than by tags.
fn object_of(schema: &Value) -> Option<&Value> {
    if schema.get("properties").is_some() {
        return Some(schema);
    }
    alternatives(schema).find(|variant| variant.get("properties").is_some() && tag(variant).is_none())
}

fn alternatives(schema: &Value) -> impl Iterator<Item = &Value> {
    ["anyOf", "oneOf"].into_iter().flat_map(|rule| schema[rule].as_array().into_iter().flatten())
}

fn reference(schema: &Value) -> Option<&str> {
    schema["$ref"].as_str()?.strip_prefix("#/$defs/")
}

fn is_null(schema: &Value) -> bool {
    schema["type"] == "null"
}

fn is_nullable(schema: &Value) -> bool {
    alternatives(schema).count() == 2 && alternatives(schema).any(is_null)
}

fn fields(object: &Value) -> impl Iterator<Item = (&String, &Value)> {
    object["properties"].as_object().into_iter().flatten()
}

/// Name and content of a choice that is an object with one key.
fn tag(variant: &Value) -> Option<(&str, &Value)> {
    let properties: &Map<String, Value> = variant["properties"].as_object()?;
    let (name, inner) = properties.iter().next()?;
    (properties.len() == 1 && variant["required"] == json!([name])).then_some((name.as_str(), inner))
}

fn bounds(schema: &Value) -> String {
    let bound = |rule: &str| schema[rule].as_f64();
    let least = bound("minimum").map(|x| format!("≥ {}", number(x)));
    let most = bound("maximum").map(|x| format!("≤ {}", number(x)));
    if let (Some(least), Some(most)) = (bound("minimum"), bound("maximum")) {
        return format!(", {} to {}", number(least), number(most));
    }
    let above = bound("exclusiveMinimum").map(|x| format!("> {}", number(x)));
    let below = bound("exclusiveMaximum").map(|x| format!("< {}", number(x)));
    let all: Vec<String> = [least, above, most, below].into_iter().flatten().collect();
    if all.is_empty() { String::new() } else { format!(" {}", all.join(", ")) }
}

fn number(x: f64) -> String {
    let sign = if x < 0.0 { "−" } else { "" };
    let x = x.abs();
    if (x - std::f64::consts::PI).abs() < 1e-9 {
        return format!("{sign}π");
    }
    let power = x.log10();
    if power >= 5.0 && power.fract() == 0.0 {
        return format!("{sign}1e{power}");
    }
    if x > 0.0 && x < 1e-3 { format!("{sign}{x:e}") } else { format!("{sign}{x}") }
}

/// A value whose whole numbers have no point.
fn whole_numbers(value: &Value) -> Value {
    match value {
        Value::Number(n) if n.as_f64().is_some_and(|x| x.fract() == 0.0 && x.abs() < 1e15) => {
            json!(n.as_f64().unwrap() as i64)
        }
        Value::Array(items) => items.iter().map(whole_numbers).collect(),
        Value::Object(entries) => {
            entries.iter().map(|(name, value)| (name.clone(), whole_numbers(value))).collect()
        }
        other => other.clone(),
    }
}

/// JSON with a space after each comma and colon.
fn spaced(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(spaced).collect::<Vec<_>>().join(", ")),
        Value::Object(entries) => {
            let each: Vec<_> =
                entries.iter().map(|(name, value)| format!("\"{name}\": {}", spaced(value))).collect();
            format!("{{{}}}", each.join(", "))
        }
        other => other.to_string(),
    }
}

fn either(each: &[String]) -> String {
    match each {
        [all @ .., last] if each.iter().any(|one| one.contains(',')) && !all.is_empty() => {
            format!("{}, or {last}", all.join("; "))
        }
        [all @ .., last] if !all.is_empty() => format!("{} or {last}", all.join(", ")),
        [one] => one.clone(),
        _ => String::new(),
    }
}

/// A heading within a sentence: of the page of a kind the kind, and a name as it is.
fn lower(heading: &str) -> String {
    if let Some(kind) = heading.strip_prefix("Experiments of kind ") {
        return kind.to_owned();
    }
    if heading.chars().skip(1).any(char::is_uppercase) {
        return heading.to_owned();
    }
    let mut letters = heading.chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}

/// The words for several of what a type allows.
fn plural(values: &str) -> String {
    let word = ["integer", "number", "text", "list"].into_iter().find(|word| values.starts_with(word));
    word.map_or_else(|| values.to_owned(), |word| values.replacen(word, &format!("{word}s"), 1))
}

/// A value in a sentence.
fn code(value: &Value) -> String {
    if value.is_null() { "null".to_owned() } else { format!("`{value}`") }
}

fn one_line(text: &str) -> String {
    text.split('\n').map(str::trim).collect::<Vec<_>>().join(" ")
}

/// The rows in Markdown, without columns that are empty.
fn table(rows: &[Row]) -> String {
    type Column = (&'static str, fn(&Row) -> &String);
    let columns: [Column; 5] = [
        ("choice", |row| &row.choice),
        ("field", |row| &row.field),
        ("type and legal values", |row| &row.values),
        ("default", |row| &row.default),
        ("meaning", |row| &row.meaning),
    ];
    let used: Vec<Column> =
        columns.into_iter().filter(|(_, cell)| rows.iter().any(|row| !cell(row).is_empty())).collect();
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let mut table = line(used.iter().map(|(name, _)| (*name).to_owned()).collect());
    table += &format!("|{}\n", "---|".repeat(used.len()));
    for row in rows {
        table += &line(used.iter().map(|(_, cell)| cell(row).replace('|', "\\|")).collect());
    }
    table
}
