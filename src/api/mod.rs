//! The SQL surface, a file per family. A function here converts, makes one call and maps the error.

mod chunk;
mod embed;
mod embed_batch;
mod models;
mod status;
