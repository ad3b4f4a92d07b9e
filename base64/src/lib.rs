//! RFC 4648 base64, standard alphabet, strict.
