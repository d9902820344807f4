//! A board whose power fails, a gateway that errs and one that lies.

mod attack;
mod board;
mod cut;
mod plain;
mod release;
mod wear;
