/**
 * What the built-in generator has read: openings of books that are in the public domain, a paragraph each. Plain
 * ASCII, so that each token is whole characters and can be streamed on its own.
 */
export const corpus = `
Alice was beginning to get very tired of sitting by her sister on the bank, and of having nothing to do: once or twice
she had peeped into the book her sister was reading, but it had no pictures or conversations in it, and what is the use
of a book, thought Alice, without pictures or conversations? So she was considering in her own mind, as well as she
could, for the hot day made her feel very sleepy and stupid, whether the pleasure of making a daisy chain would be worth
the trouble of getting up and picking the daisies, when suddenly a White Rabbit with pink eyes ran close by her. There
was nothing so very remarkable in that; nor did Alice think it so very much out of the way to hear the Rabbit say to
itself, Oh dear! Oh dear! I shall be late!

In another moment down went Alice after it, never once considering how in the world she was to get out again. The rabbit
hole went straight on like a tunnel for some way, and then dipped suddenly down, so suddenly that Alice had not a moment
to think about stopping herself before she found herself falling down a very deep well. Either the well was very deep,
or she fell very slowly, for she had plenty of time as she went down to look about her and to wonder what was going to
happen next.

Call me Ishmael. Some years ago, never mind how long precisely, having little or no money in my purse, and nothing
particular to interest me on shore, I thought I would sail about a little and see the watery part of the world. It is a
way I have of driving off the spleen and regulating the circulation. Whenever I find myself growing grim about the
mouth; whenever it is a damp, drizzly November in my soul; whenever I find myself involuntarily pausing before coffin
warehouses, and bringing up the rear of every funeral I meet, then, I account it high time to get to sea as soon as I
can. There is nothing surprising in this. If they but knew it, almost all men in their degree, some time or other,
cherish very nearly the same feelings towards the ocean with me.

It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of foolishness, it was the
epoch of belief, it was the epoch of incredulity, it was the season of Light, it was the season of Darkness, it was the
spring of hope, it was the winter of despair, we had everything before us, we had nothing before us, we were all going
direct to Heaven, we were all going direct the other way.

Four score and seven years ago our fathers brought forth on this continent, a new nation, conceived in Liberty, and
dedicated to the proposition that all men are created equal. Now we are engaged in a great civil war, testing whether
that nation, or any nation so conceived and so dedicated, can long endure. We are met on a great battle field of that
war. We have come to dedicate a portion of that field, as a final resting place for those who here gave their lives that
that nation might live. It is altogether fitting and proper that we should do this. But, in a larger sense, we can not
dedicate, we can not consecrate, we can not hallow this ground. The brave men, living and dead, who struggled here, have
consecrated it, far above our poor power to add or detract. The world will little note, nor long remember what we say
here, but it can never forget what they did here.

It is a truth universally acknowledged, that a single man in possession of a good fortune, must be in want of a wife.
However little known the feelings or views of such a man may be on his first entering a neighbourhood, this truth is so
well fixed in the minds of the surrounding families, that he is considered as the rightful property of some one or other
of their daughters.

To Sherlock Holmes she is always the woman. I have seldom heard him mention her under any other name. In his eyes she
eclipses and predominates the whole of her sex. It was not that he felt any emotion akin to love for Irene Adler. All
emotions, and that one particularly, were abhorrent to his cold, precise but admirably balanced mind. He was, I take it,
the most perfect reasoning and observing machine that the world has seen, but as a lover he would have placed himself in
a false position. He never spoke of the softer passions, save with a gibe and a sneer.

You will rejoice to hear that no disaster has accompanied the commencement of an enterprise which you have regarded with
such evil forebodings. I arrived here yesterday, and my first task is to assure my dear sister of my welfare and
increasing confidence in the success of my undertaking. I am already far north of London, and as I walk in the streets
of Petersburgh, I feel a cold northern breeze play upon my cheeks, which braces my nerves and fills me with delight.
`
