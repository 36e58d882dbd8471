//! The `usher` command: which command it is, and its exit code. Nothing else.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use usher::{cli, telemetry};

/// Allocates less slowly than the system's allocator under a proxy's many small allocations.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// An audience-based L7 reverse proxy in front of one Rails monolith.
#[derive(Parser)]
#[command(name = "usher", version, about, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the proxy
    Run(cli::run::RunArgs),
    /// Show usher at work: a stand-in monolith, the proxy and traffic, all in this process
    Demo(cli::demo::DemoArgs),
    /// Validate and lint a configuration
    Check(cli::check::CheckArgs),
    /// Say who a request is for, and why; takes METHOD URL or a pasted `curl` command line
    Explain(cli::explain::ExplainArgs),
    /// Write the configuration's JSON Schema, or a complete annotated file
    Schema(cli::schema::SchemaArgs),
    /// Say what would change from one configuration to another
    Diff(cli::diff::DiffArgs),
    /// Have a running usher reload its configuration
    Reload(cli::reload::ReloadArgs),
    /// Say whether to ship: exit 0 go, 3 hold, 4 unknown
    Gate(cli::gate::GateArgs),
    /// Write Prometheus' rules for what was promised
    Rules(cli::rules::RulesArgs),
    /// Write dashboards for Grafana
    Dashboards(cli::dashboards::DashboardsArgs),
    /// Show error budgets and how fast they go, or what counts for them
    Slo(cli::slo::SloArgs),
    /// Have a running usher hand over to a new binary without a gap
    Upgrade(cli::upgrade::UpgradeArgs),
    /// Show which versions of apps come, and whom a least one would lock out
    Versions(cli::versions::VersionsArgs),
    /// Show how a running usher fares
    Status(cli::status::StatusArgs),
    /// Have the requests of an audience or a pool wait
    Pause(cli::verbs::PauseArgs),
    /// End a pause or maintenance
    Resume(cli::verbs::ResumeArgs),
    /// Answer the requests of an audience or a pool with a maintenance page
    Maintenance(cli::verbs::MaintenanceArgs),
    /// Give an endpoint no new requests
    Drain(cli::verbs::DrainArgs),
    /// Give an endpoint requests again
    Undrain(cli::verbs::UndrainArgs),
    /// Say what became of one request, by its id
    Why(cli::why::WhyArgs),
}

fn main() -> ExitCode {
    // clap exits with 2 when the command line is wrong.
    let arguments = Arguments::parse();
    telemetry::start();
    let code = match &arguments.command {
        Command::Run(args) => cli::run::run(args),
        Command::Demo(args) => cli::demo::run(args),
        Command::Check(args) => cli::check::run(args),
        Command::Explain(args) => cli::explain::run(args),
        Command::Schema(args) => cli::schema::run(args),
        Command::Diff(args) => cli::diff::run(args),
        Command::Reload(args) => cli::reload::run(args),
        Command::Gate(args) => cli::gate::run(args),
        Command::Rules(args) => cli::rules::run(args),
        Command::Dashboards(args) => cli::dashboards::run(args),
        Command::Slo(args) => cli::slo::run(args),
        Command::Upgrade(args) => cli::upgrade::run(args),
        Command::Versions(args) => cli::versions::run(args),
        Command::Status(args) => cli::status::run(args),
        Command::Pause(args) => cli::verbs::pause(args),
        Command::Resume(args) => cli::verbs::resume(args),
        Command::Maintenance(args) => cli::verbs::maintenance(args),
        Command::Drain(args) => cli::verbs::drain(args),
        Command::Undrain(args) => cli::verbs::undrain(args),
        Command::Why(args) => cli::why::run(args),
    };
    ExitCode::from(code)
}
