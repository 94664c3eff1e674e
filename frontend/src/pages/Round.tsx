/** One round: what was seen at each view, by whom; and the signature. */
import { useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import { post } from '../api/client'
import type { RoundDetailView } from '../api/schema'
import { duration, moment, t } from '../i18n'
import { mine, Show, useAsked, useTitle, Verdict } from '../parts/asked'
import { Evidence, LookMark, lookWords } from '../parts/looks'
import { complain, tell } from '../shell/notice'
import { Page } from '../shell/Shell'
import { OddForm } from '../shell/WalkBar'
import { scenarioPath } from '../state/paths'
import { go } from '../state/route'
import { mayOperate } from '../state/session'
import { setWalk } from '../state/walk'
import '../styles/pages.css'
import '../styles/walk.css'

const EVERY_MS = 4000

export default function Round({ what: id }: { what: string }): JSX.Element {
  const asked = useAsked<RoundDetailView>(`/rounds/${encodeURIComponent(id)}`, EVERY_MS)
  const oddAt = useSignal<number | null>(null)
  const note = useSignal('')
  useTitle(t('round.title', { id }))
  const act = async (path: string, body: object, done?: string): Promise<void> => {
    try {
      asked.set(await post<RoundDetailView>(`/rounds/${encodeURIComponent(id)}/${path}`, body))
      if (done) tell(done)
    } catch (error) {
      complain(error)
    }
  }
  const found = asked.data
  return (
    <Page
      trail={[
        { text: t('page.scenarios'), href: '/scenarios' },
        ...(found ? [{ text: mine(found.title, found.title_uk), href: scenarioPath(found.scenario) }] : []),
        { text: t('round.title', { id }) },
      ]}
    >
      <Show of={asked} missing={t('round.missing')}>
        {(round) => {
          const open = round.state === 'open'
          const waiting = round.looks.filter((l) => l.state === 'waiting' || l.state === 'unknown').length
          const odd = round.looks.filter((l) => l.state === 'odd').length
          const may = mayOperate.value && open && round.kind === 'run'
          const signable = mayOperate.value && ((may && waiting === 0) || round.state === 'odd')
          const title = open ? (waiting > 0 ? t('round.waiting', { n: waiting, total: round.looks.length, count: waiting }) : t('round.ready')) : t(`round.said.${round.state}`)
          const facts = [
            t(`round.kind.${round.kind}`),
            round.by === 'vezha' ? t('round.itself') : round.by,
            round.began_at === null ? '' : moment(round.began_at),
            round.ended_at !== null && round.began_at !== null && round.kind === 'run' ? t('round.took', { time: duration(round.ended_at - round.began_at) }) : '',
            round.state === 'signed' && round.ended_by ? t('round.signedBy', { name: round.ended_by }) : '',
            odd > 0 ? t('round.odd', { n: odd }) : '',
          ].filter(Boolean)
          const next = Math.max(0, round.looks.findIndex((l) => l.state === 'waiting'))
          return (
            <>
              <Verdict title={title} lead={facts.join(' · ')}>
                {may && waiting > 0 && (
                  <button
                    class="btn strong"
                    onClick={() => {
                      setWalk({ kind: 'run', name: round.scenario, round: round.id, at: next })
                      go(round.walk[next].at)
                    }}
                  >
                    {t('round.goOn')}
                  </button>
                )}
                {may && <button class="btn" onClick={() => void act('look', {})}>{t('round.lookAgain')}</button>}
                {may && <button class="btn quiet" onClick={() => void act('leave', {})}>{t('round.leave')}</button>}
              </Verdict>
              <ol class="list">
                {round.walk.map((view, i) => {
                  const look = round.looks[i]
                  return (
                    <li class="item tall" key={i}>
                      <LookMark state={look.state} />
                      <div class="item-main">
                        <p>
                          <a href={view.at}>{mine(view.title, view.title_uk)}</a>
                        </p>
                        <p>{mine(view.look_for, view.look_for_uk)}</p>
                        <p class="muted">{[lookWords(look), look.at === null ? '' : moment(look.at)].filter(Boolean).join(' · ')}</p>
                        <Evidence look={look} />
                      </div>
                      {may && (
                        <div class="item-acts">
                          {look.state === 'waiting' || look.state === 'unknown' || look.by === 'vezha' ? (
                            <>
                              <button class="btn" onClick={() => (oddAt.value = i)}>{t('walk.odd')}</button>
                              <button class="btn" onClick={() => void act(`views/${i}`, { state: 'expected' })}>{t('walk.expected')}</button>
                            </>
                          ) : (
                            <button class="btn quiet" onClick={() => void act(`views/${i}`, { state: 'waiting' })}>{t('round.takeBack')}</button>
                          )}
                        </div>
                      )}
                    </li>
                  )
                })}
              </ol>
              {signable && (
                <form
                  class="sign"
                  onSubmit={(e) => {
                    e.preventDefault()
                    void act('sign', { note: note.value.trim() }, t('round.signed'))
                  }}
                >
                  <label class="field">
                    <span>{t('round.note')}</span>
                    <input class="input" maxLength={4000} value={note.value} onInput={(e) => (note.value = e.currentTarget.value)} />
                  </label>
                  <button class="btn strong">{t('round.sign')}</button>
                </form>
              )}
              {round.note && <p class="gap">{round.note}</p>}
            </>
          )
        }}
      </Show>
      {oddAt.value !== null && (
        <OddForm
          onClose={() => (oddAt.value = null)}
          onSay={(text) => {
            const view = oddAt.value
            oddAt.value = null
            void act(`views/${view}`, { state: 'odd', text })
          }}
        />
      )}
    </Page>
  )
}
