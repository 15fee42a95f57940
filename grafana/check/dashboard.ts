// What a dashboard file of ours may hold: @grafana/schema's types, one panel type at a time.
//
// The schema leaves a panel's `options`, `custom` and `targets` open, because plugins own them. Here they
// are closed with the plugins' own types, so that a misspelt option, or a panel type that we don't use,
// is an error.
import type * as schema from '@grafana/schema';
import type * as stat from '@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen';
import type * as stateTimeline from '@grafana/schema/dist/esm/raw/composable/statetimeline/panelcfg/x/StateTimelinePanelCfg_types.gen';
import type * as table from '@grafana/schema/dist/esm/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen';
import type * as timeSeries from '@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen';

// JSON holds the value of an enum where TypeScript wants its name.
type Json<T> = T extends string
  ? `${T}`
  : T extends number
    ? `${T}` extends `${infer N extends number}` ? N : T
    : T extends (infer Item)[]
      ? Json<Item>[]
      : T extends object
        ? { [Key in keyof T]: Json<T[Key]> }
        : T;

// Grafana's Prometheus plugin keeps its query type outside the schema package.
interface PrometheusTarget {
  datasource: schema.DataSourceRef;
  refId: string;
  expr: string;
  legendFormat: string;
  editorMode: 'code';
  format: 'time_series' | 'table';
  range: boolean;
  instant: boolean;
}

// Required here though the schema makes them optional: a panel without them is unfinished.
interface OurPanel<Type extends string, Options, Custom>
  extends Omit<schema.Panel, 'type' | 'options' | 'fieldConfig' | 'targets' | 'libraryPanel'> {
  type: Type;
  id: number;
  title: string;
  description: string;
  datasource: schema.DataSourceRef;
  gridPos: schema.GridPos;
  options: Options;
  targets: PrometheusTarget[];
  fieldConfig: {
    defaults: Omit<schema.FieldConfig, 'custom'> & { unit: string; custom?: Custom };
    overrides: schema.FieldConfigSource['overrides'];
  };
}

type AnyPanel =
  | OurPanel<'timeseries', timeSeries.Options, timeSeries.FieldConfig>
  | OurPanel<'stat', stat.Options, never>
  | OurPanel<'table', table.Options, Partial<table.FieldConfig>>
  | OurPanel<'state-timeline', stateTimeline.Options, stateTimeline.FieldConfig>;

type Row = Required<Pick<schema.RowPanel, 'id' | 'type' | 'title' | 'collapsed' | 'gridPos' | 'panels'>>;

export type DashboardFile = Json<
  Omit<schema.Dashboard, 'panels' | 'id' | 'snapshot'> & {
    uid: string;
    title: string;
    description: string;
    panels: (AnyPanel | Row)[];
  }
>;
