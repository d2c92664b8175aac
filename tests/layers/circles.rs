//! Circles: strongly connected components of a graph by Tarjan's algorithm, and the shortest cycle in each.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Nodes by name, each with the nodes to which it points.
pub type Graph = BTreeMap<String, BTreeSet<String>>;

/// A graph with these edges.
pub fn graph<'a>(edges: impl Iterator<Item = (&'a str, &'a str)>) -> Graph {
    let mut graph = Graph::new();
    for (from, to) in edges {
        graph.entry(to.to_owned()).or_default();
        graph.entry(from.to_owned()).or_default().insert(to.to_owned());
    }
    graph
}

/// Components with more than one node, the largest first.
pub fn circles(graph: &Graph) -> Vec<Vec<String>> {
    let mut search = Search {
        graph,
        numbers: BTreeMap::new(),
        lowest: BTreeMap::new(),
        stack: Vec::new(),
        found: Vec::new(),
    };
    for node in graph.keys() {
        if !search.numbers.contains_key(node.as_str()) {
            search.visit(node);
        }
    }
    search.found.sort_by_key(|component| (std::cmp::Reverse(component.len()), component.clone()));
    search.found
}

/// The shortest cycle within a component, with the first node repeated at the end.
pub fn shortest_way(graph: &Graph, component: &[String]) -> Vec<String> {
    let ways = component.iter().filter_map(|start| way_back(graph, component, start));
    ways.min_by_key(Vec::len).unwrap_or_default()
}

fn way_back(graph: &Graph, component: &[String], start: &String) -> Option<Vec<String>> {
    let mut before: BTreeMap<&String, &String> = BTreeMap::new();
    let mut waiting = VecDeque::from([start]);
    while let Some(node) = waiting.pop_front() {
        for next in graph[node].iter().filter(|next| component.contains(next)) {
            if next == start {
                let mut way = vec![start.clone(), node.clone()];
                while let Some(previous) = before.get(&way[way.len() - 1]) {
                    way.push((*previous).clone());
                }
                way.reverse();
                return Some(way);
            }
            if !before.contains_key(next) {
                before.insert(next, node);
                waiting.push_back(next);
            }
        }
    }
    None
}

/// Tarjan's algorithm: "Depth-first search and linear graph algorithms", SIAM Journal on Computing 1 (2),
/// 1972.
struct Search<'a> {
    graph: &'a Graph,
    numbers: BTreeMap<&'a str, usize>,
    lowest: BTreeMap<&'a str, usize>,
    stack: Vec<&'a str>,
    found: Vec<Vec<String>>,
}

impl<'a> Search<'a> {
    fn visit(&mut self, node: &'a str) {
        let number = self.numbers.len();
        self.numbers.insert(node, number);
        self.lowest.insert(node, number);
        self.stack.push(node);
        for next in &self.graph[node] {
            if !self.numbers.contains_key(next.as_str()) {
                self.visit(next);
                self.lower(node, self.lowest[next.as_str()]);
            } else if self.stack.contains(&next.as_str()) {
                self.lower(node, self.numbers[next.as_str()]);
            }
        }
        if self.lowest[node] == number {
            let start = self.stack.iter().position(|other| *other == node).unwrap_or(self.stack.len());
            let mut component: Vec<String> = self.stack.drain(start..).map(str::to_owned).collect();
            component.sort();
            if component.len() > 1 {
                self.found.push(component);
            }
        }
    }

    fn lower(&mut self, node: &'a str, number: usize) {
        let lowest = self.lowest.entry(node).or_insert(number);
        *lowest = number.min(*lowest);
    }
}
