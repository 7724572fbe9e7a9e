//! How the view looks.

use mgit::full_message;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{
    Block, Borders, List, ListItem, ListState, Paragraph, Row, Sparkline, Table, TableState, Wrap,
};
use serde_json::Value;

use super::histogram::Histogram;
use super::{Browse, Change, Page};
use crate::text::{shown, size, time};

const FAINT: Style = Style::new().fg(Color::DarkGray);
const CHOSEN: Style = Style::new().add_modifier(Modifier::REVERSED);

impl Browse<'_> {
    /// Draws the view.
    pub fn draw(&mut self, frame: &mut Frame<'_>) {
        let [head, body, foot] =
            Layout::vertical([Constraint::Length(1), Constraint::Min(1), Constraint::Length(1)])
                .areas(frame.area());
        frame.render_widget(self.head(), head);
        match self.page {
            Page::Models => self.draw_models(frame, body),
            Page::Tensors => self.draw_tensors(frame, body),
            Page::Tensor => self.draw_tensor(frame, body),
        }
        frame.render_widget(self.foot(), foot);
    }

    fn head(&self) -> Line<'static> {
        let mut way = vec![shown(&self.title)];
        if self.page != Page::Models {
            way.extend(self.model.as_ref().map(|model| shown(&model.full_name())));
        }
        if self.page == Page::Tensor {
            let row = self.tensor.place().and_then(|at| self.tensors.get(at));
            way.extend(row.map(|row| shown(&row.name)));
        }
        Line::styled(way.join(" > "), Style::new().add_modifier(Modifier::BOLD))
    }

    fn foot(&self) -> Line<'static> {
        if self.writing {
            return Line::raw(format!("/{}_", shown(&self.search)));
        }
        if !self.message.is_empty() {
            return Line::styled(shown(&self.message), Style::new().fg(Color::Red));
        }
        let keys = match self.page {
            Page::Models => "up/down  enter: tensors  /: search  q: quit",
            Page::Tensors => "up/down  enter: values  /: search  esc: back  q: quit",
            Page::Tensor => "s: logarithmic counts  esc: back  q: quit",
        };
        match self.search.as_str() {
            "" => Line::styled(keys, FAINT),
            text => Line::styled(format!("/{}  (esc: all)  {keys}", shown(text)), FAINT),
        }
    }

    fn draw_models(&mut self, frame: &mut Frame<'_>, area: Rect) {
        if self.rows.is_empty() {
            frame.render_widget(Paragraph::new("no models yet: import brings some in"), area);
            return;
        }
        let sides = match area.width {
            // Too narrow for two: the list alone.
            ..70 => [Constraint::Percentage(100), Constraint::Length(0)],
            _ => [Constraint::Percentage(58), Constraint::Percentage(42)],
        };
        let [left, right] = Layout::horizontal(sides).areas(area);
        let nodes = self.family.nodes();
        let items = self.models.shown.iter().map(|at| {
            let row = &self.rows[*at];
            let node = &nodes[row.place];
            let mut spans = vec![Span::raw("  ".repeat(row.depth.min(30)))];
            if !row.how.is_empty() {
                spans.push(Span::styled(format!("{} ", row.how), FAINT));
            }
            spans.push(Span::raw(shown(&node.full_name())));
            let tags = self.family.tags(node.id());
            if !tags.is_empty() {
                let tags = format!(" ({})", shown(&tags.join(", ")));
                spans.push(Span::styled(tags, Style::new().fg(Color::Green)));
            }
            ListItem::new(Line::from(spans))
        });
        let title = format!(" {} of {} models ", self.models.shown.len(), self.rows.len());
        let list = List::new(items.collect::<Vec<_>>())
            .block(Block::new().borders(Borders::ALL).title(title))
            .highlight_style(CHOSEN);
        let mut state = ListState::default().with_selected(Some(self.models.at));
        frame.render_stateful_widget(list, left, &mut state);
        self.page_rows = left.height.saturating_sub(2).into();
        let facts = Paragraph::new(self.facts()).wrap(Wrap { trim: false });
        frame.render_widget(facts.block(Block::new().borders(Borders::ALL)), right);
    }

    fn facts(&self) -> Vec<Line<'static>> {
        let Some(at) = self.models.place() else { return vec![Line::raw("nothing fits")] };
        let node = &self.family.nodes()[self.rows[at].place];
        let row = &node;
        let mut lines =
            vec![Line::styled(shown(&node.full_name()), Style::new().add_modifier(Modifier::BOLD))];
        let mut fact = |name: &str, value: String| {
            let name = Span::styled(format!("{name} "), FAINT);
            lines.push(Line::from(vec![name, Span::raw(shown(&value))]));
        };
        if !row.kind().is_empty() {
            fact("kind", row.kind().to_owned());
        }
        if let Ok(origin) = self.family.origin(node.id()) {
            for edge in &origin.parents {
                fact(&format!("{} of", edge.how), self.family.full_name(edge.parent));
            }
            if let Some(previous) = origin.previous {
                fact("next version of", self.family.full_name(previous));
            }
        }
        fact("tensors", row.tensor_count().to_string());
        fact("size", size(row.logical_bytes()));
        fact("created", format!("{} UTC", time(row.created_ms())));
        for tag in self.family.tags(node.id()) {
            fact("tag", tag.clone());
        }
        match self.snapshot.graph().metadata(node.id()) {
            Ok(metadata) => {
                for (key, value) in metadata {
                    let value = match value {
                        Value::String(text) => text,
                        value => value.to_string(),
                    };
                    fact(&shown(&key), value);
                }
            }
            Err(error) => fact("metadata", full_message(&error)),
        }
        fact("id", node.id().to_string());
        lines
    }

    fn draw_tensors(&mut self, frame: &mut Frame<'_>, area: Rect) {
        let rows = self.tensor.shown.iter().map(|at| {
            let tensor = &self.tensors[*at];
            let (mark, style) = match tensor.change {
                Change::Equal => ("=", FAINT),
                Change::Changed => ("~", Style::new().fg(Color::Yellow)),
                Change::Added => ("+", Style::new().fg(Color::Green)),
                Change::Root => (" ", Style::new()),
            };
            let (stored, encoding) = match &tensor.stored {
                Some((stored, encoding)) => (size(*stored), encoding.clone()),
                None => ("?".to_owned(), "cannot be read".to_owned()),
            };
            let bytes = size(tensor.bytes);
            let cells = [
                mark.to_owned(),
                shown(&tensor.name),
                shown(&tensor.form),
                bytes,
                stored,
                encoding,
            ];
            Row::new(cells).style(style)
        });
        let title = match &self.parent {
            Some(parent) => format!(
                " {} tensors; = ~ + : equal, changed, added since {} ",
                self.tensors.len(),
                shown(&parent.full_name())
            ),
            None => format!(" {} tensors ", self.tensors.len()),
        };
        let widths = [
            Constraint::Length(1),
            Constraint::Fill(3),
            Constraint::Fill(2),
            Constraint::Length(11),
            Constraint::Length(11),
            Constraint::Length(14),
        ];
        let table = Table::new(rows, widths)
            .header(Row::new(["", "TENSOR", "TYPE, SHAPE", "BYTES", "STORED", "AS"]).style(FAINT))
            .block(Block::new().borders(Borders::ALL).title(title))
            .row_highlight_style(CHOSEN);
        let mut state = TableState::default().with_selected(Some(self.tensor.at));
        frame.render_stateful_widget(table, area, &mut state);
        self.page_rows = area.height.saturating_sub(3).into();
    }

    fn draw_tensor(&self, frame: &mut Frame<'_>, area: Rect) {
        let Some(values) = &self.values else { return };
        let [upper, lower] =
            Layout::vertical([Constraint::Fill(1), Constraint::Fill(1)]).areas(area);
        self.draw_histogram(frame, upper, " values ", &values.values);
        match &values.delta {
            Some((name, delta)) => {
                let title = format!(" difference from {} ", shown(name));
                self.draw_histogram(frame, lower, &title, delta);
            }
            None => {
                let block = Block::new().borders(Borders::ALL).title(" difference ");
                let text = "no tensor of this name in a parent or in the previous version";
                frame.render_widget(Paragraph::new(text).block(block), lower);
            }
        }
    }

    fn draw_histogram(
        &self,
        frame: &mut Frame<'_>,
        area: Rect,
        title: &str,
        histogram: &Result<Histogram, String>,
    ) {
        let block = Block::new().borders(Borders::ALL).title(title.to_owned());
        let inner = block.inner(area);
        frame.render_widget(block, area);
        let found = match histogram {
            Ok(found) => found,
            Err(why) => {
                frame.render_widget(Paragraph::new(shown(why)).wrap(Wrap { trim: true }), inner);
                return;
            }
        };
        let [facts, bars, axis] =
            Layout::vertical([Constraint::Length(1), Constraint::Min(1), Constraint::Length(1)])
                .areas(inner);
        frame.render_widget(Line::styled(describe(found), FAINT), facts);
        // Every column as wide as the next: what is left over stays empty.
        let columns = found.columns(inner.width.into());
        let wide = (usize::from(inner.width) / columns.len().max(1)).max(1);
        let scaled = columns.iter().map(|count| match self.logarithmic {
            true => ((*count as f64).ln_1p() * 1000.0) as u64,
            false => *count,
        });
        let data: Vec<u64> = scaled.flat_map(|count| std::iter::repeat_n(count, wide)).collect();
        let drawn = Rect { width: (data.len() as u16).min(bars.width), ..bars };
        let ink = Style::new().fg(Color::Cyan);
        frame.render_widget(Sparkline::default().data(data).style(ink), drawn);
        let (low, high) = (number(found.low), number(found.high));
        let room = usize::from(drawn.width).saturating_sub(low.len() + high.len());
        let scale = if self.logarithmic { "log" } else { "" };
        let axis_text = format!("{low}{scale:^room$}{high}");
        frame.render_widget(Line::styled(axis_text, FAINT), axis);
    }
}

/// A number for people.
fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        size if (1e-3..1e6).contains(&size) => format!("{value:.4}"),
        _ => format!("{value:.3e}"),
    }
}

fn describe(found: &Histogram) -> String {
    let share = found.zeros as f64 / found.count as f64 * 100.0;
    let mut text = format!(
        "{} numbers, mean {}, deviation {}, {share:.1} % zero",
        found.count,
        number(found.mean),
        number(found.deviation)
    );
    if found.others > 0 {
        text += &format!(", {} not finite", found.others);
    }
    if found.left > 0 {
        text += &format!(", {} more not looked at", found.left);
    }
    text
}
