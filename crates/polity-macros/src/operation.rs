//! `#[operation]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{
    Attribute, Error, Expr, ExprLit, Ident, ItemFn, Lit, LitInt, LitStr, Meta, Path, Result, Token, parenthesized,
    parse::{Parse, ParseStream},
    punctuated::Punctuated,
    spanned::Spanned,
};

/// What stands between the parentheses of the attribute.
pub(crate) struct Args {
    id: LitStr,
    status: Option<LitInt>,
    errors: Vec<Path>,
}

impl Parse for Args {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let mut args = Self {
            id: input.parse()?,
            status: None,
            errors: Vec::new(),
        };
        while input.peek(Token![,]) {
            input.parse::<Token![,]>()?;
            if input.is_empty() {
                break;
            }
            let key: Ident = input.parse()?;
            if key == "status" {
                input.parse::<Token![=]>()?;
                args.status = Some(input.parse()?);
            } else if key == "errors" {
                let list;
                parenthesized!(list in input);
                args.errors = Punctuated::<Path, Token![,]>::parse_terminated(&list)?
                    .into_iter()
                    .collect();
            } else {
                return Err(Error::new(key.span(), "expected `status = …` or `errors(…)`"));
            }
        }
        Ok(args)
    }
}

pub(crate) fn expand(args: &Args, mut item: ItemFn) -> Result<TokenStream> {
    let doc = doc_of(&item.attrs);
    if doc.trim().is_empty() {
        return Err(Error::new(
            item.sig.ident.span(),
            "an operation needs a doc comment: it is the text of the API",
        ));
    }
    if item.sig.asyncness.is_none() {
        return Err(Error::new(item.sig.span(), "an operation is an async fn"));
    }
    let (summary, description) = doc.split_once("\n\n").unwrap_or((&doc, ""));
    let summary = summary.replace('\n', " ").trim().trim_end_matches('.').to_owned();
    let description = description.trim();
    let id = &args.id;
    let errors = &args.errors;
    let status = args
        .status
        .as_ref()
        .map_or_else(|| quote!(200), |status| quote!(#status));
    let visibility = item.vis.clone();
    let name = item.sig.ident.clone();
    let attributes = std::mem::take(&mut item.attrs);
    item.vis = syn::Visibility::Inherited;
    let (generics, state) = match state_of(&item) {
        Some(state) => (quote!(), quote!(#state)),
        None => (quote!(<S: ::core::clone::Clone + Send + Sync + 'static>), quote!(S)),
    };
    let bound = state_of(&item)
        .is_none()
        .then(|| quote!(where ::polity_kernel::Ctx: ::polity_kernel::http::FromRef<S>));
    Ok(quote! {
        #(#attributes)*
        #visibility fn #name #generics () -> ::polity_kernel::http::Operation<#state> #bound {
            #item
            ::polity_kernel::http::Operation::new(
                ::polity_kernel::http::Doc {
                    id: #id,
                    summary: #summary,
                    description: #description,
                    status: #status,
                    errors: const { &[#(#errors),*] },
                },
                #name,
            )
        }
    })
}

/// The type inside the handler's `State<…>` argument; a handler without one serves any state.
fn state_of(item: &ItemFn) -> Option<&syn::Type> {
    item.sig.inputs.iter().find_map(|input| {
        let syn::FnArg::Typed(argument) = input else {
            return None;
        };
        let syn::Type::Path(path) = &*argument.ty else {
            return None;
        };
        let last = path.path.segments.last().filter(|segment| segment.ident == "State")?;
        let syn::PathArguments::AngleBracketed(arguments) = &last.arguments else {
            return None;
        };
        arguments.args.iter().find_map(|argument| match argument {
            syn::GenericArgument::Type(state) => Some(state),
            _ => None,
        })
    })
}

fn doc_of(attributes: &[Attribute]) -> String {
    let mut lines = Vec::new();
    for attribute in attributes {
        if let Meta::NameValue(meta) = &attribute.meta
            && meta.path.is_ident("doc")
            && let Expr::Lit(ExprLit {
                lit: Lit::Str(text), ..
            }) = &meta.value
        {
            lines.push(text.value().trim().to_owned());
        }
    }
    lines.join("\n")
}
