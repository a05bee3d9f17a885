//! Nothing that was acknowledged is lost, and nothing that was not whole is seen: after kill -9, at any moment, and
//! on a disk that is full.

mod full;
mod interrupted;
mod killed;
