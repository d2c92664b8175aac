//! The output of a bench: figures, and whether goals are reached.

/// Prints a heading.
pub fn part(title: &str) {
    println!("\n== {title}");
}

/// Prints a figure with its unit.
pub fn figure(what: &str, value: f64, unit: &str) {
    println!("{what:<64} {value:>10.3} {unit}");
}

/// Prints a text that is no figure.
pub fn note(text: &str) {
    println!("{text}");
}

/// Prints a figure that should be at least `goal`.
pub fn at_least(what: &str, value: f64, goal: f64, unit: &str) {
    verdict(what, value, goal, unit, value >= goal, "at least");
}

/// Prints a figure that should be at most `goal`.
pub fn at_most(what: &str, value: f64, goal: f64, unit: &str) {
    verdict(what, value, goal, unit, value <= goal, "at most");
}

fn verdict(what: &str, value: f64, goal: f64, unit: &str, reached: bool, relation: &str) {
    let word = if reached { "reached" } else { "MISSED" };
    println!("{what:<64} {value:>10.3} {unit} (goal: {relation} {goal:.2}, {word})");
}
