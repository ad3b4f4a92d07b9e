//! Seeded random numbers: one generator, and draws that are the same on every machine.
