//! A platform that serves, seen from outside: its API and pages over real sockets, devices that upgrade from it, and what
//! is left of it when its process is killed.
mod api;
mod client;
mod device;
mod images;
mod kills;
mod load;
mod pages;
mod process;
