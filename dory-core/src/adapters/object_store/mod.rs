//! Object stores: Google Cloud Storage, S3, Azure, and folders.
