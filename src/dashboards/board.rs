//! A dashboard: variables, rows and panels, and the JSON that Grafana takes them from.

use serde_json::{Value, json};

/// Columns of a dashboard.
const WIDTH: u64 = 24;

/// Rows of its grid that a panel is high.
const HEIGHT: u64 = 8;

/// The version of the format: Grafana 10 and 11 write it, later ones read it.
const SCHEMA_VERSION: u32 = 39;

/// What Grafana puts in the place of a variable that stands for all values.
const ANY: &str = ".+";

/// A dashboard under construction.
pub(super) struct Board {
    title: &'static str,
    uid: &'static str,
    description: &'static str,
    variables: Vec<Variable>,
    annotations: Vec<(&'static str, String)>,
    panels: Vec<Value>,
    /// Where the next panel goes.
    at: (u64, u64),
}

/// Something that can be chosen at the top of a dashboard.
pub(super) struct Variable {
    /// Its name in expressions.
    pub(super) name: &'static str,
    /// The values there are, as a query of Grafana's Prometheus source.
    pub(super) query: String,
    /// What is left out of them, as a regular expression.
    pub(super) without: &'static str,
}

/// What a panel looks like.
#[derive(Clone, Copy)]
pub(super) enum Look {
    /// Lines over time.
    Lines,
    /// Areas on top of each other.
    Stacked,
    /// One number for each series.
    Number,
    /// A bar for each series, from nothing to one.
    Bars,
    /// A line for each series, with its value now.
    Table,
}

/// A panel.
pub(super) struct Panel {
    title: &'static str,
    says: &'static str,
    look: Look,
    /// A unit by Grafana's name for it.
    unit: &'static str,
    width: u64,
    marks: &'static [(Option<f64>, &'static str)],
    /// Expressions, and how their series are called.
    queries: Vec<(String, String)>,
}

// === impl Board ===

impl Board {
    pub(super) fn new(title: &'static str, uid: &'static str, description: &'static str) -> Self {
        let (variables, annotations, panels) = (Vec::new(), Vec::new(), Vec::new());
        Self { title, uid, description, variables, annotations, panels, at: (0, 0) }
    }

    /// Lets something be chosen.
    pub(super) fn variable(&mut self, variable: Variable) {
        self.variables.push(variable);
    }

    /// Marks the moments at which `expression` has a value.
    pub(super) fn mark(&mut self, name: &'static str, expression: String) {
        self.annotations.push((name, expression));
    }

    /// Begins a row; it comes once for each value of the variable `repeat`.
    pub(super) fn row(&mut self, title: &str, repeat: Option<&str>) {
        self.line();
        let (id, y) = (self.next_id(), self.at.1);
        let mut row = json!({
            "id": id, "type": "row", "title": title, "collapsed": false, "panels": [],
            "gridPos": { "x": 0, "y": y, "w": WIDTH, "h": 1 },
        });
        if let Some(variable) = repeat {
            row["repeat"] = variable.into();
        }
        self.panels.push(row);
        self.at.1 += 1;
    }

    /// Puts `panel` beside the last one, or below it where there is no room.
    pub(super) fn panel(&mut self, panel: &Panel) {
        if self.at.0 + panel.width > WIDTH {
            self.line();
        }
        let mut json = panel.to_json();
        json["id"] = self.next_id().into();
        json["gridPos"] = json!({ "x": self.at.0, "y": self.at.1, "w": panel.width, "h": HEIGHT });
        self.panels.push(json);
        self.at.0 += panel.width;
    }

    /// What Grafana imports.
    pub(super) fn into_json(self) -> Value {
        let variables = self.variables.iter().map(Variable::to_json);
        let variables: Vec<Value> = std::iter::once(data_source()).chain(variables).collect();
        let marks = self.annotations.iter().map(|(name, expression)| {
            json!({
                "name": name, "enable": true, "hide": false, "iconColor": "blue",
                "datasource": source(), "expr": expression, "step": "30s", "titleFormat": name,
            })
        });
        json!({
            "uid": self.uid,
            "title": self.title,
            "description": self.description,
            "tags": ["usher"],
            "schemaVersion": SCHEMA_VERSION,
            "version": 1,
            "editable": true,
            "graphTooltip": 1,
            "refresh": "30s",
            "time": { "from": "now-6h", "to": "now" },
            "timezone": "browser",
            "links": [{
                "title": "usher", "type": "dashboards", "tags": ["usher"], "asDropdown": false,
                "includeVars": false, "keepTime": true, "targetBlank": false,
            }],
            "annotations": { "list": marks.collect::<Vec<_>>() },
            "templating": { "list": variables },
            "panels": self.panels,
        })
    }

    fn next_id(&self) -> usize {
        self.panels.len() + 1
    }

    fn line(&mut self) {
        if self.at.0 > 0 {
            self.at = (0, self.at.1 + HEIGHT);
        }
    }
}

// === impl Variable ===

impl Variable {
    fn to_json(&self) -> Value {
        let regex = match self.without {
            "" => String::new(),
            without => format!("/^(?!(?:{without})$).*/"),
        };
        json!({
            "name": self.name, "label": self.name, "type": "query", "datasource": source(),
            "definition": self.query,
            "query": { "query": self.query, "refId": self.name },
            "regex": regex, "refresh": 2, "sort": 1, "hide": 0,
            "includeAll": true, "multi": true, "allValue": ANY,
            "current": { "selected": true, "text": ["All"], "value": ["$__all"] },
        })
    }
}

/// Which Prometheus: the one that is chosen, and at first the default one.
fn data_source() -> Value {
    json!({
        "name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus",
        "regex": "", "refresh": 1, "hide": 0, "includeAll": false, "multi": false,
        "current": {},
    })
}

fn source() -> Value {
    json!({ "type": "prometheus", "uid": "${datasource}" })
}

// === impl Panel ===

impl Panel {
    /// A third as wide as the dashboard.
    pub(super) fn new(
        look: Look,
        title: &'static str,
        unit: &'static str,
        says: &'static str,
        queries: Vec<(String, String)>,
    ) -> Self {
        Self { title, says, look, unit, width: WIDTH / 3, marks: &[], queries }
    }

    /// Turns yellow or red from some values on, the lowest first.
    pub(super) fn marked(self, marks: &'static [(Option<f64>, &'static str)]) -> Self {
        Self { marks, ..self }
    }

    /// As wide as so many columns of 24.
    pub(super) fn wide(self, width: u64) -> Self {
        Self { width, ..self }
    }

    fn to_json(&self) -> Value {
        let targets = self.queries.iter().enumerate().map(|(index, (expression, legend))| {
            // Twenty-six queries are more than anybody can read in one panel.
            let id = char::from(b'A' + (index % 26) as u8).to_string();
            let now = matches!(self.look, Look::Number | Look::Bars | Look::Table);
            json!({
                "refId": id, "datasource": source(), "editorMode": "code",
                "expr": expression, "legendFormat": legend,
                "instant": now, "range": !now,
                "format": if matches!(self.look, Look::Table) { "table" } else { "time_series" },
            })
        });
        json!({
            "type": self.look.name(),
            "title": self.title,
            "description": self.says,
            "datasource": source(),
            "targets": targets.collect::<Vec<_>>(),
            "fieldConfig": {
                "defaults": self.defaults(),
                "overrides": [],
            },
            "transformations": self.look.transformations(),
            "options": self.look.options(),
        })
    }

    fn defaults(&self) -> Value {
        let mut defaults = json!({
            "unit": self.unit,
            "custom": self.look.custom(self.marks),
            "color": { "mode": self.look.color() },
            "thresholds": { "mode": "absolute", "steps": self.steps() },
        });
        if matches!(self.look, Look::Bars) {
            defaults["min"] = 0.into();
            defaults["max"] = 1.into();
        }
        defaults
    }

    fn steps(&self) -> Vec<Value> {
        let none = [(None, "green")];
        let steps = if self.marks.is_empty() { &none[..] } else { self.marks };
        steps.iter().map(|(from, color)| json!({ "value": from, "color": color })).collect()
    }
}

// === impl Look ===

impl Look {
    const fn name(self) -> &'static str {
        match self {
            Look::Lines | Look::Stacked => "timeseries",
            Look::Number => "stat",
            Look::Bars => "bargauge",
            Look::Table => "table",
        }
    }

    const fn color(self) -> &'static str {
        match self {
            Look::Lines | Look::Stacked => "palette-classic",
            Look::Number | Look::Bars | Look::Table => "thresholds",
        }
    }

    fn custom(self, marks: &[(Option<f64>, &str)]) -> Value {
        match self {
            Look::Lines => json!({
                "drawStyle": "line", "lineWidth": 1, "fillOpacity": 5, "showPoints": "never",
                "thresholdsStyle": { "mode": if marks.is_empty() { "off" } else { "dashed" } },
            }),
            Look::Stacked => json!({
                "drawStyle": "line", "lineWidth": 1, "fillOpacity": 30, "showPoints": "never",
                "stacking": { "mode": "normal", "group": "A" },
            }),
            Look::Number | Look::Bars => json!({}),
            Look::Table => json!({ "cellOptions": { "type": "auto" } }),
        }
    }

    /// A table has no use for the moment at which it was asked.
    fn transformations(self) -> Value {
        match self {
            Look::Lines | Look::Stacked | Look::Number | Look::Bars => json!([]),
            Look::Table => json!([{
                "id": "organize",
                "options": { "excludeByName": { "Time": true, "__name__": true, "Value": true } },
            }]),
        }
    }

    fn options(self) -> Value {
        let last = json!({ "calcs": ["lastNotNull"], "fields": "", "values": false });
        match self {
            Look::Lines | Look::Stacked => json!({
                "legend": { "displayMode": "list", "placement": "bottom", "showLegend": true },
                "tooltip": { "mode": "multi", "sort": "desc" },
            }),
            Look::Number => json!({
                "reduceOptions": last, "colorMode": "value", "graphMode": "none",
                "textMode": "auto", "orientation": "auto", "justifyMode": "auto",
            }),
            Look::Bars => json!({
                "reduceOptions": last, "orientation": "horizontal", "displayMode": "gradient",
                "showUnfilled": true,
            }),
            Look::Table => json!({ "showHeader": true, "cellHeight": "sm" }),
        }
    }
}
