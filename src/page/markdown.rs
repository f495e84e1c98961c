//! Text from files as text on a page: nothing in it is markup, a link or an image.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::text::printable;

/// What stands in a link as it is.
const KEPT: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');

/// Text as it may stand at the beginning of a paragraph.
pub fn plain(text: &str) -> String {
    without_block(&inline(text))
}

/// Text as it may stand in a heading or within a paragraph.
pub fn inline(text: &str) -> String {
    let text = line(text);
    // `code` stays code: nothing is markup in there.
    let spans = !text.contains("``") && text.matches('`').count().is_multiple_of(2);
    let mut inside = false;
    let mut shown = String::with_capacity(text.len());
    let mut before = ' ';
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        inside ^= spans && c == '`';
        // Within a word an underscore marks nothing.
        let within = before.is_alphanumeric() && rest.peek().is_some_and(|c| c.is_alphanumeric());
        match c {
            '`' if spans => shown.push(c),
            _ if inside => shown.push(c),
            '_' if within => shown.push(c),
            '&' => shown.push_str("&amp;"),
            '<' => shown.push_str("&lt;"),
            '>' => shown.push_str("&gt;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '~' | '$' => shown.extend(['\\', c]),
            _ => shown.push(c),
        }
        before = c;
    }
    shown
}

/// A paragraph that begins as a heading, a list or a rule does is none.
fn without_block(text: &str) -> String {
    let digits = text.chars().take_while(char::is_ascii_digit).count();
    let marks = |part: &str| part.starts_with(['.', ')']);
    if digits > 0 && marks(&text[digits..]) {
        return format!("{}\\{}", &text[..digits], &text[digits..]);
    }
    if text.starts_with(['#', '-', '+', '=', '|']) { format!("\\{text}") } else { text.to_owned() }
}

/// Text as it may stand in a cell of a table.
pub fn cell(text: &str) -> String {
    inline(text).replace('|', "\\|")
}

/// Text as code, whatever backticks it holds; what looks like HTML is escaped text instead, for readers that do not know code.
pub fn code(text: &str) -> String {
    let text = line(text);
    if text.contains(['<', '>']) {
        return inline(&text);
    }
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    let space = if longest > 0 { " " } else { "" };
    format!("{fence}{space}{text}{space}{fence}")
}

/// The path of a file as it may stand in a link.
pub fn destination(path: &str) -> String {
    utf8_percent_encode(path, &KEPT).to_string()
}

/// How GitHub names the place of a heading.
pub fn anchor(heading: &str) -> String {
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    line(heading).to_lowercase().chars().filter(kept).map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// The text in one line, without what a terminal would obey.
fn line(text: &str) -> String {
    printable(text).split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_is_text() {
        let shown = plain("<script>alert(1)</script> [x](javascript:alert(1)) ![y](http://z/) a & b");
        let expected =
            r"&lt;script&gt;alert(1)&lt;/script&gt; \[x\](javascript:alert(1)) !\[y\](http://z/) a &amp; b";
        assert_eq!(shown, expected);
        assert_eq!(
            plain("rhs_evaluations, T_dyn, _not_ |β| *x*"),
            r"rhs_evaluations, T_dyn, \_not\_ |β| \*x\*"
        );
        assert_eq!(plain("see `a<b>` and\n# c"), "see `a<b>` and # c");
        assert_eq!(plain("odd ` <b>"), r"odd \` &lt;b&gt;");
        let begins = ["# a", "- a", "12. a", "=== a", "1.5 a"].map(plain);
        assert_eq!(begins, [r"\# a", r"\- a", r"12\. a", r"\=== a", r"1\.5 a"]);
        assert_eq!(plain("\u{1b}[31mred"), r"\\u{1b}\[31mred");
    }

    #[test]
    fn cells_code_and_links_hold_anything() {
        assert_eq!(cell("|β| < 1\n| b"), r"\|β\| &lt; 1 \| b");
        assert_eq!(cell("1.5"), "1.5");
        assert_eq!(code("a `b` | c"), "`` a `b` | c ``");
        assert_eq!(code("abc"), "`abc`");
        assert_eq!(code("a <b>"), "a &lt;b&gt;");
        assert_eq!(destination("page/my run (1)-a.png"), "page/my%20run%20%281%29-a.png");
        assert_eq!(anchor("my run (1)"), "my-run-1");
        assert_eq!(anchor("fig2a-2"), "fig2a-2");
    }
}
