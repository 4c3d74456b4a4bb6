//! Unmodified official clients against real clusters; the tests are in `tests/`, the programs that
//! use the clients in a folder per language, the bytes of real clients in `golden/`.
