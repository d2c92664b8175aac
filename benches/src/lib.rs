//! What the bench programs share.
