// The bar above Asynqmon: shows what waits in the ledger, every 5 seconds.
"use strict";

(() => {
  const bar = document.getElementById("evalq-bar");
  const counts = document.getElementById("evalq-counts");
  const root = bar.dataset.root;
  const shown = [
    ["accepted", "in the ledger"], ["queued", "queued"], ["running", "running"],
    ["retrying", "retrying"], ["held", "held"], ["dead", "dead"],
  ];

  const show = (live) => {
    counts.replaceChildren(...shown.map(([state, label]) => {
      const link = document.createElement("a");
      link.href = root + "jobs?state=" + state;
      link.className = "evalq-" + state;
      const number = document.createElement("b");
      number.textContent = String(live.states[state] ?? 0);
      if (live.states[state]) link.classList.add("evalq-some");
      link.append(number, " " + label);
      return link;
    }));
    const mq = live.messages;
    if (mq?.dead) {
      const link = document.createElement("a");
      link.href = root + "asynqmon/queues/" + mq.queue + "?status=archived";
      link.className = "evalq-dead evalq-some";
      const number = document.createElement("b");
      number.textContent = String(mq.dead);
      link.append(number, " dead in " + mq.queue);
      counts.append(link);
    }
    if (live.workers === 0) counts.append(mq?.consumers ? " no worker, " + mq.consumers + " of package mq" : " no worker");
  };

  const poll = async () => {
    try {
      const answer = await fetch(root + "live.json", { headers: { Accept: "application/json" }, cache: "no-store" });
      if (answer.status === 401) {
        location.assign(root + "sign-in?next=" + encodeURIComponent(location.pathname + location.search));
        return;
      }
      if (!answer.ok) throw new Error(String(answer.status));
      show(await answer.json());
    } catch {
      counts.textContent = "evalq does not answer";
    }
  };

  // On the page of one of the ledger's tasks the bar leads to its job.
  const job = document.createElement("a");
  const point = () => {
    const match = location.pathname.match(/\/tasks\/([0-9a-z]{24})\.[1-9][0-9]*$/);
    if (!match) return job.remove();
    job.href = root + "jobs/" + match[1];
    job.textContent = "This task's job";
    if (!job.isConnected) counts.before(job);
  };

  point();
  setInterval(point, 500);
  poll();
  setInterval(() => { if (!document.hidden) poll(); }, 5000);
})();
