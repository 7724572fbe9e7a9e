//! Results as JUnit XML, which systems that build and test read: a suite a test, a case a model.

use std::fmt::Write as _;

use mgit::model_tests::{Status, TestResult};

/// By what a file that was made here is known again.
pub const MARK: &str = "<!-- written by mgit-db test run -->";

/// Text that may stand in XML, between tags and between quotes.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(character),
            // XML has no other control characters, escaped or not.
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            character if character.is_control() => out.push('\u{fffd}'),
            character => out.push(character),
        }
    }
    out
}

/// The document.
pub fn document(results: &[TestResult]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for result in results {
        if !names.contains(&result.test.as_str()) {
            names.push(&result.test);
        }
    }
    let mut out = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{MARK}\n<testsuites>\n");
    for name in names {
        let of: Vec<&TestResult> = results.iter().filter(|result| result.test == name).collect();
        let count = |status| of.iter().filter(|result| result.status == status).count();
        let _ = writeln!(
            out,
            "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\">",
            escaped(name),
            of.len(),
            count(Status::Failed),
            count(Status::Error),
            count(Status::NotRun)
        );
        for result in of {
            case(&mut out, result);
        }
        out.push_str("  </testsuite>\n");
    }
    out.push_str("</testsuites>\n");
    out
}

fn case(out: &mut String, result: &TestResult) {
    let (test, model) = (escaped(&result.test), escaped(&result.node.full_name()));
    let seconds = result.finding.seconds;
    let _ =
        writeln!(out, "    <testcase classname=\"{test}\" name=\"{model}\" time=\"{seconds:.3}\">");
    let tag = match result.status {
        Status::Passed => None,
        Status::Failed => Some("failure"),
        Status::Error => Some("error"),
        Status::NotRun => Some("skipped"),
    };
    if let Some(tag) = tag {
        let reasons = escaped(&result.reasons.join("; ")).replace('\n', " ");
        let _ = writeln!(out, "      <{tag} message=\"{reasons}\"/>");
    }
    let mut text = String::new();
    for metric in &result.finding.metrics {
        let _ = writeln!(text, "{} {}", metric.name, metric.value);
    }
    text += &result.finding.output;
    if !text.is_empty() {
        let _ = writeln!(out, "      <system-out>{}</system-out>", escaped(&text));
    }
    out.push_str("    </testcase>\n");
}
