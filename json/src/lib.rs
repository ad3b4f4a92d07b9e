//! RFC 8259 JSON: a pull reader, an owned value, a writer, and typed encode and decode.
