//! The guests are the examples: a module each.
