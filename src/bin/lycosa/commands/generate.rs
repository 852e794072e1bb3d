//! `lycosa generate`: the man page, shell completions, and the JSON Schema of a record.

use std::io;

use clap_mangen::Man;
use lycosa::model::record_schema::record_schema;

use crate::args::{Artefact, command};
use crate::settings::table::SETTINGS;
use crate::settings::{Run, Setting};

/// The text of an artefact.
///
/// # Errors
/// Never in practice: it is written into memory.
pub fn generate(artefact: Artefact) -> io::Result<Vec<u8>> {
    match artefact {
        Artefact::Man => man_page(),
        Artefact::Completions(shell) => {
            let mut out = Vec::new();
            clap_complete::generate(shell, &mut command(), "lycosa", &mut out);
            Ok(out)
        }
        Artefact::RecordSchema => Ok(format!("{:#}\n", record_schema()).into_bytes()),
    }
}

/// One page: the command, then each subcommand with its options.
fn man_page() -> io::Result<Vec<u8>> {
    let mut command = command();
    command.build();
    let main = Man::new(command.clone());
    let mut out = Vec::new();
    main.render_title(&mut out)?;
    main.render_name_section(&mut out)?;
    main.render_synopsis_section(&mut out)?;
    main.render_description_section(&mut out)?;
    for subcommand in command.get_subcommands() {
        let name = subcommand.get_name().to_owned();
        out.extend(format!(".SH \"LYCOSA {}\"\n", name.to_uppercase()).into_bytes());
        let mut section = Vec::new();
        let page = Man::new(subcommand.clone());
        page.render_synopsis_section(&mut section)?;
        page.render_description_section(&mut section)?;
        page.render_options_section(&mut section)?;
        // On a page of their own these would be top sections; the first of them says nothing its title has not said.
        let section = String::from_utf8_lossy(&section).replace("\n.SH ", "\n.SS ").replacen(".SH ", ".SS ", 1);
        out.extend(section.into_bytes());
        out.push(b'\n');
    }
    out.extend(b".SH ENVIRONMENT\n".as_slice());
    out.extend(environment().into_bytes());
    main.render_extra_section(&mut out)?;
    main.render_version_section(&mut out)?;
    Ok(out)
}

fn environment() -> String {
    let variables: Vec<String> = SETTINGS.iter().map(Setting::variable).collect();
    let commands = Run::ALL.map(Run::as_str).join(" and ");
    format!(
        "Each setting of {commands} has a variable, over configuration files and under flags; lists have one entry a line:\n{}.\n",
        variables.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_man_page_has_every_flag_of_both_commands() {
        let page = String::from_utf8(generate(Artefact::Man).unwrap()).unwrap().replace("\\-", "-");
        for setting in SETTINGS {
            assert!(page.contains(&format!("--{}", setting.name)), "{}", setting.name);
        }
        for heading in [".SH NAME", ".SH \"LYCOSA CRAWL\"", ".SH \"LYCOSA FETCH\"", "Exit codes"] {
            assert!(page.contains(heading), "{heading}");
        }
    }

    #[test]
    fn completions_know_the_commands_in_every_shell() {
        use clap_complete::Shell;
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::PowerShell, Shell::Elvish] {
            let script = String::from_utf8(generate(Artefact::Completions(shell)).unwrap()).unwrap();
            assert!(script.contains("host-concurrency") && script.contains("generate"), "{shell}");
        }
    }
}
