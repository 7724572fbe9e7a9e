//! What a check says of a file whose catalogue may not be readable.

use std::path::Path;

use super::UpkeepError;
use super::finding::{Finding, VerifyDepth, VerifyReport};
use super::salvage::{Survey, survey_with};
use super::verify::verify_rows;
use crate::container::full_message;
use crate::store::OpenOptions;

/// As [`verify`](super::verify), of the last commit of the store at `path`. Where its catalogue
/// cannot be read, the file is looked through for records instead, and the report says what a
/// salvage would save.
///
/// # Errors
///
/// A file that cannot be opened, or is no store; a damaged file that a writer has open.
pub fn verify_path(
    path: impl AsRef<Path>,
    depth: VerifyDepth,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<VerifyReport, UpkeepError> {
    let path = path.as_ref();
    verify_path_with(path, depth, &OpenOptions::new(), progress)
}

/// As [`verify_path`], waiting for a writer as the options say.
///
/// # Errors
///
/// As there.
pub fn verify_path_with(
    path: impl AsRef<Path>,
    depth: VerifyDepth,
    options: &OpenOptions,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<VerifyReport, UpkeepError> {
    let path = path.as_ref();
    let opened = options.open_read_only(path);
    let verified = opened.and_then(|store| {
        let snapshot = store.snapshot()?;
        snapshot.check_catalogue()?;
        verify_rows(&store, &snapshot, depth, Ok(()), progress)
    });
    match verified {
        Err(error) if error.is_damage() => {
            scanned(survey_with(path, options, progress), full_message(&error))
        }
        result => Ok(result?),
    }
}

/// The report of a file whose catalogue cannot be read.
fn scanned(
    survey: Result<Survey, UpkeepError>,
    error: String,
) -> Result<VerifyReport, UpkeepError> {
    let store = |message: String, models: Vec<String>| Finding {
        subject: "store".to_owned(),
        offset: None,
        message,
        models,
    };
    let mut report = VerifyReport {
        models: 0,
        records: 0,
        bytes: 0,
        findings: Vec::new(),
        whole_models: Vec::new(),
        hurt_models: Vec::new(),
        partial_models: Vec::new(),
        missing_tensors: 0,
        catalogue_error: Some(error.clone()),
    };
    let survey = match survey {
        Ok(survey) => survey,
        Err(UpkeepError::NothingFound { reason }) => {
            report.findings = vec![store(error, Vec::new()), store(reason, Vec::new())];
            return Ok(report);
        }
        Err(error) => return Err(error),
    };
    report.findings.push(store(error, survey.models()));
    let found = survey.report;
    for (offset, message) in &found.damaged_records {
        report.findings.push(Finding {
            subject: "record".to_owned(),
            offset: Some(*offset),
            message: message.clone(),
            models: Vec::new(),
        });
    }
    for lost in &found.lost {
        for reason in &lost.reasons {
            report.findings.push(Finding {
                subject: format!("model {}", lost.model),
                offset: None,
                message: reason.clone(),
                models: vec![lost.model.clone()],
            });
        }
    }
    report.findings.extend(found.notes.iter().map(|note| store(note.clone(), Vec::new())));
    report.records = found.whole_records + found.damaged_records.len() as u64;
    report.whole_models = [found.saved, found.renamed].concat();
    report.hurt_models = found.lost.into_iter().map(|lost| lost.model).collect();
    report.models = (report.whole_models.len() + report.hurt_models.len()) as u64;
    Ok(report)
}
