//! Files in a bucket that speaks S3: Amazon's, or of another who says where with `AWS_ENDPOINT_URL`.
//!
//! What fails is tried again by the client within a bound; what it says in the end is told in our words.

use super::{LIST_MAX, Store, Stored, too_many};
use bytes::Bytes;
use futures_util::StreamExt as _;
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey as Key};
use object_store::multipart::{MultipartStore as _, PartId};
use object_store::path::Path;
use object_store::{
    BackoffConfig, ClientOptions, Error as Cause, GetOptions, GetRange, GetResult, ObjectMeta, ObjectStore as _,
    ObjectStoreExt as _, PutMode, RetryConfig,
};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use tidebase_engine::{Error, Result};

/// What AWS's own programs read too.
const ENVIRONMENT: [(&str, Key); 13] = [
    ("AWS_ACCESS_KEY_ID", Key::AccessKeyId),
    ("AWS_SECRET_ACCESS_KEY", Key::SecretAccessKey),
    ("AWS_SESSION_TOKEN", Key::Token),
    ("AWS_DEFAULT_REGION", Key::DefaultRegion),
    ("AWS_REGION", Key::Region),
    ("AWS_ENDPOINT_URL", Key::Endpoint),
    ("AWS_ENDPOINT_URL_S3", Key::Endpoint),
    ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", Key::ContainerCredentialsRelativeUri),
    ("AWS_CONTAINER_CREDENTIALS_FULL_URI", Key::ContainerCredentialsFullUri),
    ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", Key::ContainerAuthorizationTokenFile),
    ("AWS_WEB_IDENTITY_TOKEN_FILE", Key::WebIdentityTokenFile),
    ("AWS_ROLE_ARN", Key::RoleArn),
    ("AWS_EC2_METADATA_SERVICE_ENDPOINT", Key::MetadataEndpoint),
];
const KEY: [&str; 2] = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"];
/// Any of these says where a key is to be had.
const ROLES: [&str; 3] =
    ["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_WEB_IDENTITY_TOKEN_FILE"];
/// Where there is no key the machine is asked for one, as Amazon's own have it; on others that fails in words nobody understands.
const NO_KEY: &str = " There is no key for it in the environment: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and AWS_REGION or \
     AWS_ENDPOINT_URL if the bucket is not in us-east-1.";
/// Tries after the first.
const RETRIES_MAX: usize = 3;
const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);
/// A part of a large file. All parts but the last have the same size, for some stores want it so.
pub const PART_BYTES: usize = 8 << 20;
/// S3 takes no more of one file: 78 GiB.
pub const PARTS_MAX: usize = 10_000;
/// Characters of what a store says that are told.
const CAUSE_LENGTH_MAX: usize = 300;

#[derive(Clone, Debug)]
pub struct Bucket {
    client: Arc<AmazonS3>,
    name: Arc<str>,
    /// Empty, or with its slash.
    prefix: Arc<str>,
    has_key: bool,
}

impl Bucket {
    /// `address` is what stands behind `s3://`.
    pub fn open(address: &str, environment: &dyn Fn(&str) -> Option<String>, time_max: Duration) -> Result<Self> {
        let (bucket, prefix) = address.split_once('/').unwrap_or((address, ""));
        let prefix = prefix.trim_matches('/');
        if bucket.is_empty() {
            return Err(Error::invalid("s3:// needs the name of a bucket: s3://bucket/prefix."));
        }
        if !prefix.is_empty() {
            super::name::check(prefix)?;
        }
        let is_set = |name: &str| environment(name).is_some_and(|value| !value.is_empty());
        if let (1, Some(missing)) =
            (KEY.iter().filter(|name| is_set(name)).count(), KEY.iter().find(|name| !is_set(name)))
        {
            return Err(Error::invalid(format!(
                "s3://{bucket} cannot be used: {missing} is not set, and the other half of the key is."
            )));
        }
        let has_key = KEY.iter().chain(&ROLES).any(|name| is_set(name));
        let mut builder = AmazonS3Builder::new().with_bucket_name(bucket);
        for (name, key) in ENVIRONMENT {
            if let Some(value) = environment(name).filter(|value| !value.is_empty()) {
                builder = builder.with_config(key, value);
            }
        }
        // In the clear only to an endpoint that says so.
        let is_plain = builder.get_config_value(&Key::Endpoint).is_some_and(|endpoint| endpoint.starts_with("http://"));
        let options = ClientOptions::new()
            .with_allow_http(is_plain)
            .with_connect_timeout(CONNECT_TIME_MAX.min(time_max / 2))
            // So that there is time for another try.
            .with_timeout(time_max / 2);
        let backoff = BackoffConfig { init_backoff: Duration::from_millis(100), max_backoff: time_max / 8, base: 2.0 };
        let retry = RetryConfig { backoff, max_retries: RETRIES_MAX, retry_timeout: time_max };
        let client = builder.with_client_options(options).with_retry(retry).build().map_err(|error| {
            Error::invalid(format!("s3://{bucket} cannot be used: {}.", cause(&error))).caused_by(error)
        })?;
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        Ok(Self { client: Arc::new(client), name: bucket.into(), prefix: prefix.into(), has_key })
    }

    pub async fn put_new(&self, name: &str, bytes: Bytes) -> Result<()> {
        let put = self.client.put_opts(&self.path(name), bytes.into(), PutMode::Create.into()).await;
        put.map(|_| ()).map_err(|error| match error {
            Cause::AlreadyExists { .. } => Error::conflict(format!("There is a file {name} already.")),
            error => self.failed(error),
        })
    }

    pub async fn begin(&self, name: &str) -> Result<String> {
        self.client.create_multipart(&self.path(name)).await.map_err(|error| self.failed(error))
    }

    pub async fn put_part(&self, name: &str, id: &String, index: usize, bytes: Bytes) -> Result<PartId> {
        let put = self.client.put_part(&self.path(name), id, index, bytes.into()).await;
        put.map_err(|error| self.failed(error))
    }

    pub async fn finish(&self, name: &str, id: &String, parts: Vec<PartId>) -> Result<()> {
        let finished = self.client.complete_multipart(&self.path(name), id, parts).await;
        finished.map(|_| ()).map_err(|error| self.failed(error))
    }

    pub async fn abandon(&self, name: &str, id: &str) -> Result<()> {
        if id.is_empty() {
            return Ok(());
        }
        let gone = self.client.abort_multipart(&self.path(name), &id.to_owned()).await;
        self.is_gone(gone)
    }

    /// Its length and its tag.
    pub async fn about(&self, name: &str) -> Result<ObjectMeta> {
        self.client.head(&self.path(name)).await.map_err(|error| match error {
            Cause::NotFound { .. } => Error::not_found(format!("There is no file {name} in {self}.")),
            error => self.failed(error),
        })
    }

    /// The bytes of a range, all of them, of the file that has this tag.
    pub async fn read(&self, name: &str, tag: Option<String>, range: Range<u64>) -> Result<Bytes> {
        let options =
            GetOptions { if_match: tag, range: Some(GetRange::Bounded(range.clone())), ..GetOptions::default() };
        let got = match self.client.get_opts(&self.path(name), options).await {
            Ok(got) => GetResult::bytes(got).await,
            Err(error) => Err(error),
        };
        let bytes = got.map_err(|error| match error {
            Cause::Precondition { .. } | Cause::NotFound { .. } => {
                Error::conflict(format!("The file {name} has been replaced or removed while it was read."))
            }
            error => self.failed(error),
        })?;
        if bytes.len() as u64 != range.end - range.start {
            return Err(Error::unavailable(format!("{self} has given only a part of what was asked of {name}.")));
        }
        Ok(bytes)
    }

    /// Each page in its time.
    pub async fn list(&self, prefix: &str, store: &Store) -> Result<Vec<Stored>> {
        // The client lists by whole parts of names; the rest is looked at here.
        let folder = prefix.rsplit_once('/').map_or("", |(folder, _)| folder);
        let mut objects = self.client.list(Some(&self.path(folder)));
        let mut files = Vec::new();
        while let Some(object) = store.in_time(async { Ok(objects.next().await) }).await? {
            let object = object.map_err(|error| self.failed(error))?;
            let name = object.location.as_ref().strip_prefix(&*self.prefix).unwrap_or_default();
            if name.starts_with(prefix) && !name.is_empty() {
                files.push(Stored { name: name.to_owned(), bytes: object.size });
            }
            if files.len() > LIST_MAX {
                return Err(too_many());
            }
        }
        Ok(files)
    }

    pub async fn delete(&self, name: &str) -> Result<()> {
        let gone = self.client.delete(&self.path(name)).await;
        self.is_gone(gone)
    }

    fn is_gone(&self, done: object_store::Result<()>) -> Result<()> {
        match done {
            Ok(()) | Err(Cause::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.failed(error)),
        }
    }

    fn path(&self, name: &str) -> Path {
        Path::from(format!("{}{name}", self.prefix))
    }

    /// What may be behind a failure; a sentence, or nothing.
    pub fn doubt(&self) -> &'static str {
        if self.has_key { "" } else { NO_KEY }
    }

    fn failed(&self, error: Cause) -> Error {
        let (bucket, doubt) = (&self.name, self.doubt());
        let message = match &error {
            Cause::NotFound { .. } => format!("There is no bucket {bucket}. Make it, or name another."),
            Cause::PermissionDenied { .. } | Cause::Unauthenticated { .. } => format!(
                "The bucket {bucket} does not allow it. Look at AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and what they are for."
            ),
            error => format!("The bucket {bucket} cannot be used: {}.{doubt}", cause(error)),
        };
        Error::unavailable(message).caused_by(error)
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.name, self.prefix.trim_end_matches('/'))
    }
}

/// What stands behind an error, on one line of bearable length.
fn cause(error: &Cause) -> String {
    let text = match error {
        Cause::Generic { source, .. } => source.to_string(),
        error => error.to_string(),
    };
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").trim_end_matches('.').chars().take(CAUSE_LENGTH_MAX).collect()
}
