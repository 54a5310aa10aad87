//! What can be tried of the writer without another process.
