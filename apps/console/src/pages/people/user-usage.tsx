import type { JSX } from 'preact';
import { useQuery } from '../../api/query.ts';
import { t } from '../../strings/index.ts';
import { Bars } from '../../ui/bars.tsx';
import { formatBytes, formatDay } from '../../ui/format.ts';
import { Loaded, Panel } from '../../ui/page.tsx';
import { Table } from '../../ui/table.tsx';
import { daysOf, eachDay } from '../network/days.ts';

const text = t.people.user;
const DAYS = 30;

export function UserUsage({ userId }: { readonly userId: string }): JSX.Element {
  const days = daysOf(DAYS);
  const usage = useQuery('getUserUsage', { params: { userId }, query: { from: days[0], to: days.at(-1) } });
  return (
    <Panel title={text.usage}>
      <Loaded query={usage}>
        {({ items }) =>
          items.length === 0 ? (
            <p class="hint">{text.noUsage}</p>
          ) : (
            <>
              <Bars
                label={text.usage}
                names={[text.toDevices, text.fromDevices]}
                total={text.allDays}
                unit={formatBytes}
                bars={eachDay(days, items).map(({ day, sentBytes, receivedBytes }) => ({
                  label: formatDay(day),
                  values: [receivedBytes, sentBytes],
                }))}
              />
              <details class="as-table">
                <summary>{text.asTable}</summary>
                <Table
                  caption={text.usage}
                  rows={items.toReversed()}
                  rowKey={({ day }) => day}
                  columns={[
                    { header: text.day, cell: ({ day }) => formatDay(day) },
                    { header: text.toDevices, align: 'end', cell: (day) => formatBytes(day.receivedBytes) },
                    { header: text.fromDevices, align: 'end', cell: (day) => formatBytes(day.sentBytes) },
                  ]}
                />
              </details>
            </>
          )
        }
      </Loaded>
    </Panel>
  );
}
