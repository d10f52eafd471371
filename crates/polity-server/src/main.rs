//! `polity`: everything an application needs around its users, in one program.

fn main() -> std::process::ExitCode {
    polity_server::commands::main()
}
