//! What tests are known to say of a model; nothing is run.

use std::fmt::Write as _;

use mgit::Model;
use mgit::model_tests::{CommandTrust, RunOptions, Runner, Test, TestResult};

use super::rest;
use crate::failure::Failure;
use crate::pages::frame::cut;
use crate::picture::escaped;

/// Characters of what a test says that are shown.
const REASON_MAX: usize = 500;
/// Metrics of a test that are shown.
const METRICS_MAX: usize = 50;

/// The section.
pub fn results(model: &Model) -> Result<String, Failure> {
    let snapshot = model.snapshot();
    let tests = Test::all(snapshot)?;
    let trust = CommandTrust::of_user();
    let options = RunOptions { known_only: true, trust, ..RunOptions::default() };
    let nodes = [model.node().clone()];
    let results = Runner::new(snapshot, options).run(None, &tests, &nodes)?.results;
    let mut out = String::from("<section id=\"tests\">\n<h3>Tests</h3>\n");
    if results.is_empty() {
        out += "<p class=\"dim\">No test is for this model.</p>\n</section>\n";
        return Ok(out);
    }
    out += "<table class=\"sorted\">\n<thead><tr><th>Test</th><th>Result</th><th>Metrics</th>\
            <th>Why</th></tr></thead>\n<tbody>\n";
    for result in results.iter().take(super::ROWS_MAX) {
        row(&mut out, result);
    }
    out += "</tbody>\n</table>\n";
    out += &rest(results.len(), super::ROWS_MAX, "test");
    out += "</section>\n";
    Ok(out)
}

fn row(out: &mut String, result: &TestResult) {
    let metrics = &result.finding.metrics;
    let shown = metrics.iter().take(METRICS_MAX);
    let shown: Vec<String> =
        shown.map(|metric| format!("{} {}", escaped(&metric.name), metric.value)).collect();
    let more = rest(metrics.len(), METRICS_MAX, "metric");
    let status = result.status.name();
    let _ = writeln!(
        out,
        "<tr><td class=\"name\">{}</td><td class=\"{status}\">{status}</td><td>{}{more}</td>\
         <td>{}</td></tr>",
        escaped(&result.test),
        shown.join(", "),
        cut(&result.reasons.join("; "), REASON_MAX),
    );
}
