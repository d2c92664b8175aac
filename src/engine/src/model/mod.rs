//! A model: a folder with a manifest, a tokenizer and a graph, and what it becomes in memory.

pub mod manifest;

pub mod folder;

pub mod text;

pub mod pooling;
