//! `#[derive(Record)]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DeriveInput, Error, Fields, LitStr, Result, spanned::Spanned};

pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let name = &input.ident;
    let Data::Struct(data) = &input.data else {
        return Err(Error::new(input.span(), "a record is a struct with named fields"));
    };
    let Fields::Named(fields) = &data.fields else {
        return Err(Error::new(input.span(), "a record is a struct with named fields"));
    };
    let mut idents = Vec::new();
    let mut columns = Vec::new();
    for field in &fields.named {
        let Some(ident) = &field.ident else { continue };
        let mut column = syn::ext::IdentExt::unraw(ident).to_string();
        for attribute in &field.attrs {
            if attribute.path().is_ident("record") {
                attribute.parse_nested_meta(|meta| {
                    if meta.path.is_ident("column") {
                        column = meta.value()?.parse::<LitStr>()?.value();
                        return Ok(());
                    }
                    Err(meta.error("expected `column = \"…\"`"))
                })?;
            }
        }
        idents.push(ident);
        columns.push(column);
    }
    let at = 0..idents.len();
    let (generics, types, bounds) = input.generics.split_for_impl();
    Ok(quote! {
        impl #generics ::polity_kernel::db::Record for #name #types #bounds {
            const COLUMNS: &'static [&'static str] = &[#(#columns),*];
            fn from_row(row: &::polity_kernel::db::Row<'_>) -> ::polity_kernel::db::Result<Self> {
                Ok(Self { #(#idents: row.at(#at)?),* })
            }
        }
    })
}
