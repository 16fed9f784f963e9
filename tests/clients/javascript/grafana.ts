// A dashboard of time series from Prometheus, in Grafana's own types. Prometheus' queries have no type in its schema.
import type { Dashboard, DataQuery, Panel, RowPanel } from "@grafana/schema";
import type {
  FieldConfig,
  Options,
} from "@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen";

// JSON has an enum's text where TypeScript has its member.
type Plain<T> = T extends string ? `${T}` : T extends object ? { [K in keyof T]: Plain<T[K]> } : T;

interface Query extends DataQuery {
  datasource: { type: "prometheus"; uid: string };
  expr: string;
  legendFormat: string;
  editorMode: "code" | "builder";
  range: boolean;
}

interface Timeseries extends Omit<Panel<never, FieldConfig>, "options" | "targets"> {
  type: "timeseries";
  options: Options;
  targets: Query[];
}

interface Ours extends Omit<Dashboard, "panels"> {
  panels: (Timeseries | RowPanel)[];
}

export type DashboardFile = Plain<Ours>;
