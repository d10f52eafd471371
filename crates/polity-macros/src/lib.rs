//! The derives of the house: `Value` and `Record` for the database executor, `operation` for HTTP handlers.
//!
//! They write what a careful person would write by hand, one line per field, and nothing that needs the type system's
//! help: an error in their input is reported at the place it stands.

mod operation;
mod record;
mod value;

use proc_macro::TokenStream;
use syn::{DeriveInput, ItemFn, parse_macro_input};

/// Makes a newtype or a field-less enum storable in a column.
///
/// A newtype (`struct AccountId(String)`) is stored as what it wraps. An enum is stored as text: the variant's name in
/// `snake_case`, or what `#[value("text")]` on the variant says; it also gains `ALL`, `as_str` and `FromStr`.
#[proc_macro_derive(Value, attributes(value))]
pub fn derive_value(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    value::expand(&input)
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}

/// Makes a struct readable from a row: each field from the column of its name, or of `#[record(column = "…")]`.
#[proc_macro_derive(Record, attributes(record))]
pub fn derive_record(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    record::expand(&input)
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}

/// Makes a handler an operation: its doc comment becomes the summary (first line) and the description of the API.
///
/// `#[operation("account.get_profile")]` gives the operation id; `status = 201` the status of success; `errors(A, B)`
/// lists the problem codes the operation may answer beside the common ones.
#[proc_macro_attribute]
pub fn operation(args: TokenStream, item: TokenStream) -> TokenStream {
    let args = parse_macro_input!(args as operation::Args);
    let item = parse_macro_input!(item as ItemFn);
    operation::expand(&args, item)
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}
