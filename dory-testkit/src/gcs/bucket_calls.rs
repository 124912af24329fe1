//! Buckets: list a project's, create one, look at one.

use axum::response::Response;
use http::StatusCode;

use super::answer::{Refusal, empty, tag, xml};
use super::call::Call;
use super::config::AccessKey;
use super::state::{Bucket, State};

/// The service gives no longer list of buckets, and no second page.
const LONGEST_LIST: usize = 1_000;

pub(super) fn list(state: &State, call: &Call, key: &AccessKey) -> Result<Response, Refusal> {
    let project = project(call, key);
    if !key.may_list_buckets || project != key.project {
        return Err(Refusal::access_denied("The caller does not have storage.buckets.list access to the project."));
    }
    let own = state.buckets.iter().filter(|(_, bucket)| bucket.project == project).take(LONGEST_LIST);
    let buckets: String = own.map(|(name, _)| format!("<Bucket>{}</Bucket>", tag("Name", name))).collect();
    Ok(xml(StatusCode::OK, &format!("<ListAllMyBucketsResult><Buckets>{buckets}</Buckets></ListAllMyBucketsResult>")))
}

pub(super) fn create(state: &mut State, call: &Call, key: &AccessKey) -> Result<Response, Refusal> {
    let name = call.bucket.clone().unwrap_or_default();
    let project = project(call, key);
    if !key.may_write || project != key.project {
        return Err(Refusal::access_denied("The caller does not have storage.buckets.create access to the project."));
    }
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.');
    if !(3..=63).contains(&name.len()) || !name.chars().all(fits) {
        return Err(Refusal::new(400, "InvalidBucketName", "The specified bucket is not valid."));
    }
    match state.buckets.get(&name) {
        Some(bucket) if bucket.project == project => {
            let message = "Your previous request to create the named bucket succeeded and you already own it.";
            Err(Refusal::new(409, "BucketAlreadyOwnedByYou", message))
        }
        Some(_) => {
            let message = "The requested bucket name is not available. The bucket namespace is shared by all users of \
                           the system. Please select a different name and try again.";
            Err(Refusal::new(409, "BucketNameUnavailable", message))
        }
        None => {
            state.buckets.insert(name, Bucket { project, ..Bucket::default() });
            Ok(empty(StatusCode::OK))
        }
    }
}

pub(super) fn head(state: &mut State, call: &Call) -> Result<Response, Refusal> {
    state.bucket(call.bucket.as_deref().unwrap_or_default())?;
    Ok(empty(StatusCode::OK))
}

/// AWS's dialect has no header for it; the key's own project is meant.
fn project(call: &Call, key: &AccessKey) -> String {
    call.header("x-goog-project-id").unwrap_or(&key.project).to_owned()
}
