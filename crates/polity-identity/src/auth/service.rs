//! The rules, named by the contract. No HTTP here.

mod admin;
mod device;
mod lifecycle;
mod login;
mod password;
mod proof;
mod registration;
mod session;

pub(super) use admin::{bootstrap, setup};
pub use admin::{create_admin, setup_token};
pub(crate) use device::end_device_tokens;
pub(super) use device::{
    DeviceChange, NewDevice, authenticate_device, change_device, list_devices, new_pairing, pair, refresh_secret,
    register_device, revoke_device, verify_device,
};
pub(crate) use lifecycle::{adopt, is_active, is_disabled};
pub(super) use lifecycle::{clean_up, follow_profile, follow_status, forget, revoke_admin_sessions};
pub(super) use login::{Door, login};
pub(super) use password::{REQUEST_RESET, ask_for_reset, change_password, confirm_reset, request_reset};
pub(super) use registration::{DEV_CODES, Registered, Verified, dev_look, register, resend, verify};
pub(super) use session::{
    Client, Opened, Opening, SUCCESSORS, end_session, list_sessions, lock_identity, log_out, log_out_everywhere, mint,
    open, refresh, revoke_sessions,
};
