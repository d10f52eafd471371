//! All HTTP and cross-service tests, in one binary. The folders mirror the services; `house` is what holds for all of them.

#[cfg(test)]
mod account;
#[cfg(test)]
mod auth;
#[cfg(test)]
mod authorization;
#[cfg(test)]
mod browser;
#[cfg(test)]
mod connection;
#[cfg(test)]
mod consent;
#[cfg(test)]
mod credential;
#[cfg(test)]
mod grants;
#[cfg(test)]
mod house;
#[cfg(test)]
mod invitation;
#[cfg(test)]
mod organization;
#[cfg(test)]
mod providers;
