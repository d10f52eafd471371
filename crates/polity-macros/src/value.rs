//! `#[derive(Value)]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DataEnum, DeriveInput, Error, Fields, LitStr, Result, spanned::Spanned};

pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    match &input.data {
        Data::Struct(data) => match &data.fields {
            Fields::Unnamed(fields) if fields.unnamed.len() == 1 => Ok(newtype(input, &fields.unnamed[0].ty)),
            _ => Err(Error::new(
                input.span(),
                "a value is a newtype: a struct with one unnamed field",
            )),
        },
        Data::Enum(data) => enumeration(input, data),
        Data::Union(_) => Err(Error::new(input.span(), "a union cannot be stored")),
    }
}

fn newtype(input: &DeriveInput, inner: &syn::Type) -> TokenStream {
    let name = &input.ident;
    let (generics, types, bounds) = input.generics.split_for_impl();
    quote! {
        impl #generics ::polity_kernel::db::Value for #name #types #bounds {
            fn bind(&self) -> ::polity_kernel::db::Param<'_> {
                ::polity_kernel::db::Value::bind(&self.0)
            }
            fn read(cell: ::polity_kernel::db::Cell<'_>) -> ::polity_kernel::db::Result<Self> {
                Ok(Self(<#inner as ::polity_kernel::db::Value>::read(cell)?))
            }
        }
    }
}

fn enumeration(input: &DeriveInput, data: &DataEnum) -> Result<TokenStream> {
    let name = &input.ident;
    let mut variants = Vec::new();
    let mut texts = Vec::new();
    for variant in &data.variants {
        if !matches!(variant.fields, Fields::Unit) {
            return Err(Error::new(
                variant.span(),
                "a stored enum has no fields: store the data in columns of its own",
            ));
        }
        variants.push(&variant.ident);
        texts.push(text_of(variant)?);
    }
    Ok(quote! {
        impl #name {
            /// Every value, in the order of declaration.
            pub const ALL: &'static [Self] = &[#(Self::#variants),*];

            /// The text that is stored and sent.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { #(Self::#variants => #texts),* }
            }
        }
        impl ::std::str::FromStr for #name {
            type Err = ::polity_kernel::db::UnknownText;
            fn from_str(text: &str) -> ::std::result::Result<Self, Self::Err> {
                match text {
                    #(#texts => Ok(Self::#variants),)*
                    other => Err(::polity_kernel::db::UnknownText::new(stringify!(#name), other)),
                }
            }
        }
        impl ::polity_kernel::db::Value for #name {
            fn bind(&self) -> ::polity_kernel::db::Param<'_> {
                ::polity_kernel::db::Param::Text(::std::borrow::Cow::Borrowed(self.as_str()))
            }
            fn read(cell: ::polity_kernel::db::Cell<'_>) -> ::polity_kernel::db::Result<Self> {
                cell.text()?.parse().map_err(|unknown| cell.wrong(unknown))
            }
        }
    })
}

fn text_of(variant: &syn::Variant) -> Result<String> {
    for attribute in &variant.attrs {
        if attribute.path().is_ident("value") {
            return Ok(attribute.parse_args::<LitStr>()?.value());
        }
    }
    Ok(snake(&variant.ident.to_string()))
}

fn snake(name: &str) -> String {
    let mut out = String::new();
    for (at, letter) in name.char_indices() {
        if letter.is_uppercase() && at > 0 {
            out.push('_');
        }
        out.extend(letter.to_lowercase());
    }
    out
}
